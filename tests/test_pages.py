"""What readers copy: the blocks of README and documentation, in the order of their pages.

Every command line is parsed, with the names of files, methods and extras in it; quick blocks of Python run by default.
The slow tests run whole pages, shell and Python together, in a folder with some finished runs.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import rarefy
from rarefy.cli import main
from rarefy.registry import Registry
from rarefy.training import TRACKERS, Interrupted

ROOT = Path(__file__).parents[1]
READER = runpy.run_path(str(ROOT / "docs" / "_ext" / "page_blocks.py"))
GLOBS = ("*.md", "docs/*.md", "docs/topologies/*.md", "experiments/**/*.md")
PAGES = sorted(path.relative_to(ROOT).as_posix() for glob in GLOBS for path in ROOT.glob(glob))
BLOCKS = {page: list(READER["read_blocks"](ROOT / page)) for page in PAGES}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
COMMANDS = (
    *("rarefy", "torchrun", "pip", "python", "make", "git", "tensorboard", "mlflow", "wandb", "sbatch"),
    *("uv", "pre-commit"),
)
# A finished run is what pages on records, comparisons and reports start from.
RUNS = """
base: {data: digits, model: mlp_32_32, epochs: 3, sparse: true, fix: true, engine: masked, density: 0.1}
grid: {sparse_init: [dense, erk], seed: [1, 2]}
"""


def has(page: str, *kinds: str) -> bool:
    return any(block.kind in kinds for block in BLOCKS[page])


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    assert READER["find_unfenced_code"](ROOT / page) == [], "put code into fences, with a language"
    for block in BLOCKS[page]:
        assert block.kind in READER["KINDS"], f"{block}: {block.kind!r}"
        assert set(block.marks) <= set(READER["MARKS"]), str(block)
        assert "skip" not in block.marks or len(block.marks["skip"]) > 5, f"{block}: say why it cannot run"
        if block.kind == "python":
            compile(block.text, str(block), "exec")
        elif block.kind == "yaml":
            assert yaml.safe_load(block.text), str(block)
        elif block.kind == "json":
            assert json.loads(block.text), str(block)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that only note how they were called, so that bash itself reads the blocks."""
    folder = tmp_path_factory.mktemp("bin")
    for name in COMMANDS:
        (folder / name).write_text(f'#!/bin/bash\nprintf "%s\\0" {name} "$@" >> "$CALLS"; printf "\\n" >> "$CALLS"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def train_configs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configs that `rarefy train` would run; every name in them is resolved, and nothing is run."""
    configs: list[Any] = []

    def note(config: Any, **places: object) -> None:
        configs.append(config)
        raise Interrupted("Not run.")

    public = [getattr(rarefy, name) for name in rarefy.__all__]  # keeps the real rarefy.run before it is replaced
    monkeypatch.setattr("rarefy.pipeline.run", note)
    for registry in public:
        if isinstance(registry, Registry):  # methods of a page's plug-in are forgotten afterwards
            monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    return configs


@pytest.mark.parametrize("page", [page for page in PAGES if has(page, "bash")])
def test_every_command_line_is_one(
    page: str, stubs: Path, train_configs: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS[page]:
        if block.kind == "bash":
            for words in list_calls(block.text, stubs, tmp_path):
                check_call(words, str(block))
        elif "file" in block.marks:
            Path(block.marks["file"]).write_text(block.text)


def list_calls(script: str, stubs: Path, folder: Path) -> list[list[str]]:
    """Lists the programs that a block calls, with their arguments, as bash reads them."""
    calls = folder / "calls"
    calls.write_text("")
    script = re.sub(r"^(\s*)(\.venv/bin/|(cd|source) .*)", r"\1", script, flags=re.MULTILINE)
    environment = {"PATH": f"{stubs}:/usr/bin:/bin", "CALLS": str(calls)}
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=folder,
                          env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return [line.split("\0")[:-1] for line in calls.read_text().split("\n") if line]


def check_call(words: list[str], where: str) -> None:
    program, *arguments = words
    if program == "torchrun":
        program, arguments = "rarefy", arguments[arguments.index("rarefy") + 1 :]
    if program == "rarefy":
        check_arguments(arguments, where)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets), where
    elif program == "python" and arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file(), f"{where}: {arguments[0]}"
    for extras in re.findall(r"\[([\w,]+)\]", " ".join(arguments)) if program in ("pip", "uv") else ():
        assert set(extras.split(",")) <= {*EXTRAS, "train"}, where  # ray[train]


def check_arguments(arguments: list[str], where: str) -> None:
    """Parses a command; `train` also resolves every name."""
    import typer

    from rarefy.cli._app import app  # the parser that `main` uses

    if "--track" in arguments:  # its packages need not be installed
        index = arguments.index("--track")
        assert [TRACKERS.parse(word) for word in arguments[index + 1].split(",")], where
        arguments = arguments[:index] + arguments[index + 2 :]
    if arguments[0] == "train":
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 130, f"{where}: {shlex.join(arguments)}"
        return
    group: Any = typer.main.get_command(app)
    with group.make_context("rarefy", arguments[:1]) as context:
        command = group.get_command(context, arguments[0])
        assert command, f"{where}: {arguments[0]}"
        words = [word.replace("_", "-") if word.startswith("--") else word for word in arguments[1:]]
        command.make_context(arguments[0], words, parent=context)


@pytest.fixture
def reader(make_cache: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that a reader works in: as the top of a clone, with the published runs in `runs`."""
    monkeypatch.chdir(tmp_path)
    for name in ("benchmarks", "docs", "examples", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    shutil.copytree(ROOT / "experiments" / "results", tmp_path / "runs")
    monkeypatch.setenv("RAREFY_CACHE", str(make_cache(tmp_path / "cache")))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield tmp_path


def run_python(block: Any, scope: dict[str, Any]) -> None:
    """Runs a block; a failure names the page's own line."""
    exec(compile("\n" * (block.line - 1) + block.text, str(block.page), "exec"), scope)


@pytest.mark.parametrize("page", [page for page in PAGES if has(page, "python")])
def test_python_blocks_run_from_top_to_bottom(page: str, reader: Path) -> None:
    scope: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS[page]:
        if block.kind == "python" and not set(block.marks) & {"skip", "slow", "file"}:
            run_python(block, scope)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "sweep.yaml").write_text(RUNS)
    subprocess.run([sys.executable, "-m", "rarefy", "sweep", "sweep.yaml", "-q"], cwd=folder, check=True)
    return folder / "runs"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", [page for page in PAGES if has(page, "bash", "python")])
def test_a_page_runs_as_a_reader_would_run_it(page: str, reader: Path, runs: Path) -> None:
    shutil.rmtree(reader / "runs")
    shutil.copytree(runs, reader / "runs")
    scope: dict[str, Any] = {"__name__": "page"}
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for block in BLOCKS[page]:
        if "skip" in block.marks:
            continue
        if "file" in block.marks:
            Path(block.marks["file"]).write_text(block.text)
        elif block.kind == "python":
            run_python(block, scope)
        elif block.kind == "bash":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], env=environment, capture_output=True,
                                  text=True, check=False)  # fmt: skip
            assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_a_reader_of_pages_reads_what_is_there(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n<!-- file: a.yaml -->\n```yaml\na: 1\n```\n\n1. list\n\n    paragraph\n\n"
        "Text\n\n    code\n\n```{toctree}\nx\n```\n<!-- skip: no data; slow -->\n```bash\nrarefy runs\n```\n"
    )
    yaml_block, bash = READER["read_blocks"](page)
    assert (yaml_block.kind, yaml_block.text, yaml_block.line, yaml_block.marks) == (
        "yaml",
        "a: 1\n",
        5,
        {"file": "a.yaml"},
    )
    assert (bash.text, bash.marks) == ("rarefy runs\n", {"skip": "no data", "slow": ""})
    assert READER["find_unfenced_code"](page) == [14]
