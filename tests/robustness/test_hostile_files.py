"""Files that somebody broke or made: a sentence that names the file and exit code 2, or the right answer; no traceback.

Each kind of file is broken in many ways, by a seeded choice: bytes are cut, flipped and exchanged; values are taken
out or replaced by others, as whoever knows the format would.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import os
import random
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import rarefy
import rarefy.pipeline as pipeline
from rarefy import engines
from rarefy.config import Config
from rarefy.errors import Interrupted, RarefyError
from rarefy.paths import RunPaths

spec = importlib.util.spec_from_file_location("robust_commands", Path(__file__).with_name("test_commands.py"))
assert spec and spec.loader
commands = importlib.util.module_from_spec(spec)
spec.loader.exec_module(commands)

DATA = {"name": "synthetic", "height": 4, "width": 4, "train": 32, "validation": 8, "test": 8}
VALUES: dict[str, Any] = {
    "data": DATA,
    "model": "mlp_8",
    "density": 0.2,
    "topology": {"name": "rigl", "interval": 1},
    "engine": "masked",
    "training": {"epochs": 2, "batch_size": 16},
}
WRONG = (None, True, -1, 0, 10**30, 1e300, "x", "", "\x1b[2J", [], [None], {}, {"a": 1}, [[[]]])
PUBLISHED = "model,data,allocation,topology,density,metric,value,std\nmlp_8,synthetic,erk,set,0.2,accuracy,0.5,0.01\n"
GRID = {"base": {"epochs": 1, "sparse": True, "model": "mlp_8"}, "grid": {"density": [0.1, 0.2], "seed": [1, 2]}}
LISTED = {"list": [{"seed": 1}, {"seed": 2}], "exclude": [{"seed": 2}], "about": "two"}
COUNTS = {
    "record.json": 70,
    "history.jsonl": 20,
    "config.yaml": 50,
    "sweep.yaml": 50,
    "last.ckpt": 90,
    "model.safetensors": 60,
    "engine.json": 40,
    "published.csv": 30,
}
CASES = [(name, number) for name, count in COUNTS.items() for number in range(count)]
QUICK = [*random.Random(17).sample(CASES, 40), ("last.ckpt", 55)]  # the last: a best epoch that cannot be put in place


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """A loader that would take all memory fails instead."""
    with commands.limit_memory():
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run and an interrupted one of the same settings, below ``done`` and ``begun``."""
    folder = tmp_path_factory.mktemp("hostile")
    config = Config.from_values(VALUES)
    pipeline.run(config, out=folder / "done")
    steps = iter([False, False, False, True])
    with contextlib.suppress(Interrupted):
        pipeline.run(config, out=folder / "begun", should_stop=lambda: next(steps, True))
    return folder


def original(name: str, runs: Path) -> bytes:
    """A sound file of that name."""
    if name == "sweep.yaml":
        return yaml.safe_dump(GRID | LISTED).encode()
    if name == "published.csv":
        return PUBLISHED.encode()
    whole = "begun" if name == "last.ckpt" else "done"
    return next((runs / whole).glob(f"*/{name}")).read_bytes()


def broken(name: str, number: int, content: bytes, folder: Path) -> bytes:
    """One of the ways in which it can be broken."""
    chance = random.Random(f"{name} {number}")
    change = CHANGES.get(Path(name).suffix)
    if change is None or number % 3 == 0:
        return change_bytes(content, chance)
    return change(content, chance, folder)


def change_bytes(content: bytes, chance: random.Random) -> bytes:
    place, length = chance.randrange(len(content)), chance.randrange(1, 20)
    return chance.choice(
        [
            b"",
            content[:place],
            content[place:],
            content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :],
            content[:place] + chance.randbytes(length) + content[place + length :],
            content[:place] + b"\xff\xfe" + content[place:],
            content[:place] + b"\0" * length + content[place + length :],
            content + content,
            chance.randbytes(1000),
            b"\xef\xbb\xbf" + content,
            b"[" * 200_000,
            b'{"a":' * 100_000,
            b"\x80\x04\x95\x00.",
            "🙂".encode("utf-16"),
        ]
    )


def paths_of(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of everything inside nested values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, part in inner for place in ((*above, name), *paths_of(part, (*above, name)))]


def change_values(values: Any, chance: random.Random, wrong: tuple[Any, ...] = WRONG) -> Any:
    """Takes something out, adds something, or puts something else in its place."""
    values = copy.deepcopy(values)
    *above, last = chance.choice(paths_of(values))
    inner = values
    for name in above:
        inner = inner[name]
    how = chance.randrange(6)
    if how == 0:
        del inner[last]
    elif how == 1 and isinstance(inner, dict):
        inner["unknown"] = inner.pop(last)
    else:
        inner[last] = copy.deepcopy(chance.choice(wrong))
    return values


def change_json(content: bytes, chance: random.Random, folder: Path) -> bytes:
    text = json.dumps(change_values(json.loads(content), chance))
    no_json = (text.replace(": 1", ": NaN", 1), text.replace(": 0", ": 1e999", 1))
    return chance.choice([text, text, text, *no_json]).encode()


def change_yaml(content: bytes, chance: random.Random, folder: Path) -> bytes:
    values = yaml.safe_load(content)
    text = yaml.safe_dump(change_values(values, chance, (*WRONG, float("nan"), float("inf"))), sort_keys=False)
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 20))
    marker = folder / "executed"
    code = f"a: !!python/object/apply:os.mkdir ['{marker}']\n"
    extra = (bomb, code, "seed: 1\nseed: 2\n", "date: 2026-11-29\n", "? [1]\n: 2\n")
    return (text + chance.choice(("", "", "", *extra))).encode()


class Executed:
    """A pickle that makes a folder where it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def change_checkpoint(content: bytes, chance: random.Random, folder: Path) -> bytes:
    values = torch.load(io.BytesIO(content), weights_only=True)
    one = torch.ones(1)
    itself: list[Any] = []
    itself.append(itself)
    tensors = (one, one.long(), torch.tensor(float("nan")), one.expand(40_000, 40_000), torch.zeros(0), one.to_sparse())
    wrong = (*WRONG, *tensors, Executed(folder / "executed"), itself, -1, float("nan"))
    file = io.BytesIO()
    torch.save(change_values(values, chance, wrong), file)
    return file.getvalue()


def change_tensors(content: bytes, chance: random.Random, folder: Path) -> bytes:
    """The header as JSON, its two levels of JSON in it included."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["rarefy"])
    about["rarefy.masks"] = json.loads(about["rarefy.masks"])
    if chance.random() < 0.5:
        header = change_values(header, chance)
    else:
        about.pop("rarefy.checksum", None)
        about = change_values(about, chance, (*WRONG, [40_000, 40_000], 1_600_000_000))
        masks = about.get("rarefy.masks")
        about["rarefy.masks"] = json.dumps(masks) if chance.random() < 0.9 else masks
        header["__metadata__"] = {"rarefy": json.dumps(about)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


CHANGES = {".json": change_json, ".yaml": change_yaml, ".ckpt": change_checkpoint, ".safetensors": change_tensors}


def read_by_commands(*texts: str) -> Callable[[Path, Path], list[str]]:
    """Faults of commands that read the file: they exit with 0 or with 2 and the file's name, and print no traceback."""

    def read(file: Path, folder: Path) -> list[str]:
        found = []
        for text in texts:
            words = text.replace("FILE", str(file)).replace("FOLDER", str(file.parent)).split()
            code, said = commands.run(tuple(words), folder)
            names = any(name in said for name in (file.name, file.parent.name))
            if code not in (0, 2) or "Traceback" in said:
                found.append(f"rarefy {text}: exit code {code}: {said[-800:]}")
            elif code == 2 and not names:
                found.append(f"rarefy {text}: the file is not named: {said[-800:]}")
        return found

    return read


def read_by_library(call: Callable[[Path], object]) -> Callable[[Path, Path], list[str]]:
    """Faults of a call that reads the file: it raises what is ours, with the file's name, or nothing."""

    def read(file: Path, folder: Path) -> list[str]:
        try:
            with commands.limited(commands.SECONDS):
                call(file)
        except RarefyError as error:
            return [] if file.name in str(error) else [f"the file is not named: {error}"]
        except BaseException as error:
            return [f"{type(error).__name__}: {error}"]
        return []

    return read


def load_model(file: Path) -> None:
    """Loads into a model of the run's kind; what is refused changes none of it."""
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        rarefy.load(model, file)
    except BaseException:
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "it was changed"
        raise


def network() -> torch.nn.Module:
    """The run's, with names of its own."""
    layers = OrderedDict(flatten=nn.Flatten(), fc1=nn.Linear(48, 8), relu1=nn.ReLU(), fc2=nn.Linear(8, 10))
    return nn.Sequential(layers)


def follow_plan(file: Path) -> None:
    model = network()
    engines.use_engine(model, rarefy.sparsify(model, density=0.2), "masked", plan_file=file)


READERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "record.json": read_by_commands("runs done", "runs done --columns id,lr,accuracy --sort seed"),
    "history.jsonl": read_by_commands("runs done"),
    "config.yaml": read_by_commands("train --config FILE --track nobody --out new"),
    "sweep.yaml": read_by_commands("sweep FILE --dry-run"),
    "last.ckpt": read_by_commands("train --config FOLDER/config.yaml --out begun --quiet"),
    "model.safetensors": read_by_library(load_model),
    "engine.json": read_by_library(follow_plan),
    "published.csv": read_by_commands("report done --published FILE --out page.html --quiet"),
}


def check(name: str, number: int, runs: Path, folder: Path) -> None:
    for part in ("done", "begun"):
        shutil.copytree(runs / part, folder / part)
    content = broken(name, number, original(name, runs), folder)
    whole = "begun" if name in ("last.ckpt", "config.yaml") else "done"
    file = folder / name if name in ("sweep.yaml", "published.csv") else next((folder / whole).glob("*")) / name
    if name == "config.yaml":
        file = folder / "mine.yaml"
    file.write_bytes(content)
    found = READERS[name](file, folder)
    assert not found, "\n".join(found)
    assert not (folder / "executed").exists(), "what was in the file was executed"


@pytest.mark.parametrize(("name", "number"), QUICK)
def test_some_broken_files(name: str, number: int, runs: Path, tmp_path: Path) -> None:
    check(name, number, runs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), [case for case in CASES if case not in QUICK])
def test_every_other_broken_file(name: str, number: int, runs: Path, tmp_path: Path) -> None:
    check(name, number, runs, tmp_path)


def test_the_files_are_sound_before_they_are_broken(runs: Path, tmp_path: Path) -> None:
    """An interrupted run that is continued, a report with published numbers: so that a refusal is the break's."""
    begun = next((runs / "begun").glob("*"))
    assert RunPaths(begun).checkpoint.is_file() and not RunPaths(begun).record.exists()
    for name in ("model.safetensors", "engine.json"):
        assert READERS[name](next((runs / "done").glob(f"*/{name}")), tmp_path) == []
    for name in ("sweep.yaml", "published.csv"):
        (tmp_path / name).write_bytes(original(name, runs))
    shutil.copytree(runs / "done", tmp_path / "done")
    shutil.copytree(runs / "begun", tmp_path / "begun")
    goes_on = f"train --config begun/{begun.name}/config.yaml --out begun"
    for text in ("runs done", "sweep sweep.yaml --dry-run", goes_on):
        assert commands.run(tuple(text.split()), tmp_path)[0] == 0
