"""What cannot be had is refused within seconds: exit code 2, the value, a way out, no traceback, nothing left."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rarefy.cli import main

spec = importlib.util.spec_from_file_location("bad_commands", Path(__file__).with_name("commands.py"))
assert spec and spec.loader
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)
Command = table.Command

SECONDS = 10
MEMORY = 8 * 2**30
WAYS_OUT = re.compile(
    r"did you mean|known|try |use |write|give |choose|take |leave|move it|delete|name |it is |at least|at most|"
    r"in \(0|in \[0|range|than|is not a valid|should be|has to|have to|needs?|such as|is read|there (is|are)|install|"
    r"must be|its options|spelled|in units|lies? in|or more|nearest|fraction|from 1|below|required|unexpected|--\w",
    re.IGNORECASE,
)
COMMANDS = table.lines()
QUICK = random.Random(16).sample(COMMANDS, 60)


class Late(BaseException):
    """A command that still works when it should have refused."""


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """A command that would take all memory fails instead."""
    with limit_memory():
        yield


@contextlib.contextmanager
def limit_memory() -> Iterator[None]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name."""
    return make_place(tmp_path_factory.mktemp("commands"))


def make_place(folder: Path) -> Path:
    (folder / "folder").mkdir()
    (folder / "bytes.bin").write_bytes(b"\xff\xfe\x00\x80" * 8)
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"grid": {"seed": [1, 2]}}))
    for name, (text, _) in table.SWEEPS.items():
        (folder / name).write_text(text)
    (folder / table.RUN).mkdir(parents=True)
    golden = Path(__file__).parents[1] / "records" / "golden" / "record1.json"
    shutil.copy(golden, folder / table.RUN / "record.json")
    return folder


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Late

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, 6 * seconds))
    before = [signal.signal(number, stop) for _, number, _ in timers]  # of the processor; of a busy machine's clock
    for timer, _, allowed in timers:
        signal.setitimer(timer, allowed)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def clean(folder: Path, before: list[str]) -> None:
    for name in set(files(folder)) - set(before):
        path = folder / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def run(words: tuple[str, ...], folder: Path) -> tuple[object, str]:
    """Exit code and everything that was printed, of the command in this process."""
    said, handlers = io.StringIO(), logging.getLogger("rarefy").handlers[:]
    code: object = None
    with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            with limited(SECONDS):
                main(list(words))
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            code = type(error).__name__
            said.write("".join(traceback.format_exception_only(error)))
    logging.getLogger("rarefy").handlers[:] = handlers
    return code, said.getvalue()


def faults(command: Any, code: object, said: str, before: list[str], folder: Path) -> list[str]:
    found = [] if code == 2 else [f"exit code {code}"]
    flat = " ".join(said.split())
    if " ".join(command.value[:40].split()) not in flat:
        found.append(f"{command.value[:40]!r} is not repeated")
    if "Traceback" in said:
        found.append("a traceback")
    if not WAYS_OUT.search(said):
        found.append("no way out")
    left = set(files(folder)) - set(before)
    return [*found, f"left behind: {sorted(left)}"] if left else found


def check(command: Any, folder: Path) -> None:
    before = files(folder)
    started = time.process_time()
    code, said = run(command.words, folder)
    seconds = time.process_time() - started
    wrong = faults(command, code, said, before, folder)
    clean(folder, before)
    assert not wrong, f"rarefy {command.name}\n{'; '.join(wrong)}\n{said[-1500:]}"
    assert seconds < SECONDS


@pytest.mark.parametrize("command", QUICK, ids=lambda command: command.name)
def test_some_bad_commands(command: Any, place: Path) -> None:
    check(command, place)


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in QUICK], ids=lambda command: command.name)
def test_every_other_bad_command(command: Any, place: Path) -> None:
    check(command, place)


def test_there_are_hundreds() -> None:
    assert len(COMMANDS) >= 300


@pytest.mark.slow
@pytest.mark.parametrize("words", ["train --lr abc", "train --set seed=true", "runs runs --where history.--1=1"])
def test_a_process_of_its_own_says_the_same(words: str, place: Path) -> None:
    environment = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "rarefy", *words.split()]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
