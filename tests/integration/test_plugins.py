"""One file outside the package adds methods of every kind; they appear everywhere without another edit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = '''
import dataclasses
from typing import ClassVar

import torch
from torch import nn

from rarefy.allocation import ALLOCATIONS
from rarefy.data import DATASETS, Augment, Spec, Split, Splits
from rarefy.evaluation import METRICS
from rarefy.models import MODELS
from rarefy.topology import DROPS, TOPOLOGIES


@ALLOCATIONS.register("their_allocation")
@dataclasses.dataclass(frozen=True)
class Allocation:
    def __call__(self, shapes, density):
        return dict.fromkeys(shapes, density)


@TOPOLOGIES.register("their_topology")
@dataclasses.dataclass(frozen=True)
class Topology:
    needs: ClassVar = frozenset()
    scope: ClassVar = "layer"

    def is_due(self, step, steps):
        return step == 1

    def initial_density(self, density):
        return density

    def __call__(self, layers, update_step):
        return {layer.name: layer.mask.view(-1).roll(1).view_as(layer.mask) for layer in layers}


@DROPS.register("their_drop")
@dataclasses.dataclass(frozen=True)
class Drop:
    needs: ClassVar = frozenset()

    def __call__(self, layer, count):
        first = layer.mask.view(-1).nonzero()[:count, 0]
        return torch.zeros_like(layer.mask).view(-1).index_fill_(0, first, True).view_as(layer.mask)


@METRICS.register("their_metric")
@dataclasses.dataclass(frozen=True)
class Metric:
    """Share of images whose answer is the first class."""

    title: ClassVar = "Their share"
    unit: ClassVar = "fraction"
    is_headline: ClassVar = True

    def __call__(self, predictions):
        return float((predictions.logits.argmax(1) == 0).double().mean())


@DATASETS.register("their_data")
@dataclasses.dataclass(frozen=True)
class Data:
    def __call__(self, directory, generator):
        splits = [
            Split(torch.randint(256, (n, 1, 4, 4), generator=generator, dtype=torch.uint8), torch.arange(n) % 2)
            for n in (32, 16, 16)
        ]
        return Splits(*splits, Spec("their_data", 2, 1, 4, 4, (0.5,), (0.3,)), Augment())


@MODELS.register("their_model")
@dataclasses.dataclass(frozen=True)
class Model:
    width: int
    pattern: ClassVar = r"their_model_(?P<width>[0-9]+)"
    form: ClassVar = "their_model_<width>"
    examples: ClassVar = ("their_model_8",)

    @property
    def name(self):
        return f"their_model_{self.width}"

    def __call__(self, in_channels, classes, size):
        inputs = in_channels * size[0] * size[1]
        hidden = nn.Linear(inputs, self.width)
        return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(self.width, classes))
'''
ENTRY_POINTS = """
[rarefy.allocations]
their_allocation = theirs:Allocation
[rarefy.topologies]
their_topology = theirs:Topology
[rarefy.drops]
their_drop = theirs:Drop
[rarefy.metrics]
their_metric = theirs:Metric
[rarefy.datasets]
their_data = theirs:Data
[rarefy.models]
their_model = theirs:Model
"""
TRAIN = (
    "train --data their_data --model their_model_8 --epochs 1 --batch-size 16 --device cpu --engine masked --out runs"
)
SPARSE = f"{TRAIN} --density 0.5 --sparse --sparse-init their_allocation"
COMMANDS = (
    f"{SPARSE} --topology their_topology",
    f"{SPARSE} --topology dynamic --death their_drop --update-frequency 1",
    TRAIN,
    "eval runs",
    "compare runs --json compared.json",
    "report runs --out report/index.html",
)
SCRIPT = """
import sys
from rarefy.cli import main
for line in sys.argv[1:]:
    try:
        code = main(line.split())
    except SystemExit as stop:
        code = stop.code
    assert not code, (line, code)
"""


DOCS = Path(__file__).parents[2] / "docs" / "_ext"


def run_script(folder: Path, *commands: str, script: str = SCRIPT) -> str:
    path = os.pathsep.join([str(folder), str(DOCS)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    words = [sys.executable, "-c", script, *commands]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with the plug-in as an installed package."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "theirs.py").write_text(PLUGIN)
    (metadata := folder / "theirs-1.0.dist-info").mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.mark.slow
def test_methods_of_a_package_appear_in_record_comparison_and_report(installed: Path) -> None:
    printed = run_script(installed, *COMMANDS)
    records = [json.loads(path.read_text()) for path in installed.glob("runs/*/record.json")]
    configs = [record["config"] for record in records]
    assert {config["data"]["name"] for config in configs} == {"their_data"}
    assert {config["model"]["name"] for config in configs} == {"their_model_8"}
    assert {config["allocation"]["name"] for config in configs} == {"their_allocation", "dense"}
    assert {config["topology"]["name"] for config in configs} == {"their_topology", "dynamic", "static"}
    assert {config["topology"].get("drop") for config in configs} == {"their_drop", None}
    for record in records:
        assert 0 <= record["metrics"]["test"]["their_metric"] <= 1
        assert record["metrics"]["test"]["described"]["their_metric"]["title"] == "Their share"
    assert "Their share" in printed
    compared = json.loads((installed / "compared.json").read_text())
    assert ("their_metric", True) in [(table["metric"], table["points"]) for table in compared["metrics"]]
    pages = [path.read_text() for path in installed.glob("runs/*/evaluation.html")]
    assert pages
    assert all("Their share" in page for page in pages)
    report = (installed / "report/index.html").read_text()
    assert all(name in report for name in ("their_data", "their_model", "their_allocation", "their_metric"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--data nothing", "their_data"),
        ("--model nothing_8", "their_model"),
        ("--sparse-init nothing", "their_allocation"),
        ("--topology nothing", "their_topology"),
        ("--topology dynamic --death nothing", "their_drop"),
    ],
)
def test_the_message_for_an_unknown_name_lists_those_of_the_package(installed: Path, words: str, name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        run_script(installed, f"{SPARSE} {words}")


@pytest.mark.slow
def test_help_lists_the_names(installed: Path, tmp_path: Path) -> None:
    """Of an installed package, and of a file given with --plugin."""
    names = ("their_data", "their_model", "their_allocation", "their_topology", "their_drop")
    text = run_script(installed, "train --help")
    assert [name for name in names if name not in text] == []
    (tmp_path / "file.py").write_text(PLUGIN)
    text = run_script(tmp_path, "train --plugin file.py --help")
    assert [name for name in names if name not in text] == []


@pytest.mark.slow
def test_a_file_adds_the_methods_for_one_command(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(PLUGIN)
    run_script(tmp_path, f"{COMMANDS[1]} --plugin file.py", "eval runs --plugin file.py")
    (path,) = tmp_path.glob("runs/*/record.json")
    record = json.loads(path.read_text())
    assert record["config"]["topology"]["drop"] == "their_drop"
    assert record["metrics"]["test"]["described"]["their_metric"]["unit"] == "fraction"


@pytest.mark.slow
def test_the_table_of_metrics_in_the_documentation_has_a_row_for_it(installed: Path) -> None:
    table = run_script(installed, script="import record_schema; print(*record_schema.list_metrics(), sep='\\n')")
    row = "| `their_metric` | Their share | fraction | Share of images whose answer is the first class. |"
    assert row in table.splitlines()
