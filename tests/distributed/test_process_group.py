"""How processes end when one of them raises, is killed, or hangs; and that the next start works."""

from __future__ import annotations

import datetime
import os
import pickle
import platform
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from rarefy.distributed import RankLost, World, join_process_group

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available() and hasattr(os, "fork")), reason="needs gloo and fork"
)
Ends = dict[int, tuple[BaseException | None, int]]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Port of a store like torchrun's, which outlives each start of the processes.

    A separate process hosts it: a fork of a process with server threads can inherit locks that are never released.
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(write, str(server.port).encode())
        while True:
            time.sleep(60)
    yield int(os.read(read, 16))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)


@pytest.fixture
def start(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ends]:
    """``start(3, act)``: runs `act` in 3 processes; returns the error and exit status of each."""
    monkeypatch.setattr("rarefy.distributed._failure_reporter._REPORT_SECONDS", 1.5)
    monkeypatch.setattr("rarefy.distributed._failure_reporter._POLL_SECONDS", 0.1)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")

    def run(ranks: int, act: Callable[[World], Any], *, patience: float = 60.0) -> Ends:
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        pids = [fork(rank, act, patience, tmp_path) for rank in range(ranks)]
        ends: Ends = {}
        found = {rank: os.waitpid(pid, os.WUNTRACED)[1] for rank, pid in enumerate(pids)}
        for rank, status in found.items():
            if os.WIFSTOPPED(status):  # all others have ended by now
                os.kill(pids[rank], signal.SIGKILL)
                status = os.waitpid(pids[rank], 0)[1]
            file = tmp_path / f"{rank}.pickle"
            said = pickle.loads(file.read_bytes()) if file.is_file() else None
            ends[rank] = said, os.waitstatus_to_exitcode(status)
            file.unlink(missing_ok=True)
        return ends

    return run


def fork(rank: int, act: Callable[[World], Any], patience: float, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.environ["RANK"] = str(rank)
    torch.set_num_threads(1)
    error: BaseException | None = None
    try:
        with join_process_group(torch.device("cpu"), patience=datetime.timedelta(seconds=patience)) as world:
            act(world)
    except BaseException as found:
        error = found
    partial = folder / f"{rank}.partial"
    notes = getattr(error, "__notes__", [])
    partial.write_bytes(pickle.dumps(error and (type(error), str(error), notes, is_reported(error))))
    partial.rename(folder / f"{rank}.pickle")
    os._exit(0)


def is_reported(error: BaseException) -> bool:
    return isinstance(error, RankLost) and error.is_reported


def work(world: World) -> None:
    for _ in range(5):
        world.any_rank(False)


def test_a_mistake_that_all_make_is_raised_on_the_first_alone(start: Callable[..., Ends]) -> None:
    def act(world: World) -> None:
        work(world)
        raise FileNotFoundError("no folder")

    ends = start(3, act)
    assert ends[0] == ((FileNotFoundError, "no folder", [], False), 0)
    assert ends[1] == ends[2] == ((RankLost, "Rank 0 said why.", [], True), 0)


def test_a_mistake_that_one_makes_ends_all_and_is_reported_there_with_its_machine(
    start: Callable[..., Ends],
) -> None:
    def act(world: World) -> None:
        work(world)
        if world.rank == 1:
            raise FileNotFoundError("no folder")
        work(world)

    started = time.monotonic()
    ends = start(3, act)
    assert time.monotonic() - started < 20
    note = f"(This error is from rank 1 of 3, on {platform.node()}.)"
    assert ends[1] == ((FileNotFoundError, "no folder", [note], False), 0)
    assert ends[0] == ends[2] == ((RankLost, "Rank 1 said why.", [], True), 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_is_killed_or_hangs_is_named_once(start: Callable[..., Ends], number: int) -> None:
    def act(world: World) -> None:
        work(world)
        if world.rank == 2:
            os.kill(os.getpid(), number)
        work(world)

    ends = start(5, act, patience=5.0 if number == signal.SIGSTOP else 60.0)
    assert ends.pop(2) == (None, -signal.SIGKILL)
    found = [end for end, _ in ends.values()]
    assert {(kind, text.partition(" gone")[0]) for kind, text, *_ in found} == {(RankLost, "Rank 2 is")}  # type: ignore[misc]
    assert sorted(is_silent for *_, is_silent in found) == [False, True, True, True]  # type: ignore[misc]


def test_a_process_that_is_stuck_when_another_ended_is_ended(
    start: Callable[..., Ends], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rarefy.distributed._failure_reporter._GRACE_SECONDS", 0.5)

    def act(world: World) -> None:
        if world.rank == 1:
            raise ValueError("a mistake")
        time.sleep(60)

    started = time.monotonic()
    ends = start(2, act)
    assert time.monotonic() - started < 20
    assert ends[0] == (None, 2)


def test_without_a_launcher_s_store_the_next_one_tells_of_the_first(
    start: Callable[..., Ends], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE")  # as under SLURM: the store is the first rank's
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))

    def act(world: World) -> None:
        work(world)
        if world.is_rank0:
            os.kill(os.getpid(), signal.SIGKILL)
        work(world)

    ends = start(3, act)
    assert ends[0] == (None, -signal.SIGKILL)
    found = [ends[rank][0] for rank in (1, 2)]
    assert [(text.partition(" gone")[0], is_silent) for _, text, _, is_silent in found] == [  # type: ignore[misc]
        ("Rank 0 is", False),
        ("Rank 0 is", True),
    ]


@pytest.mark.parametrize("is_busy", [False, True], ids=["in a collective", "busy elsewhere"])
def test_a_stopped_process_that_keeps_the_store_holds_nobody_for_ever(
    start: Callable[..., Ends], monkeypatch: pytest.MonkeyPatch, is_busy: bool
) -> None:
    """As in a SLURM job, where rank 0 hosts the store: stopped, it neither responds nor closes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own_port = str(free.getsockname()[1])
    monkeypatch.setenv("MASTER_PORT", own_port)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE")
    monkeypatch.setattr("rarefy.distributed._failure_reporter._STORE_SECONDS", 1.0)
    monkeypatch.setattr("rarefy.distributed._failure_reporter._GRACE_SECONDS", 0.5 if is_busy else 20.0)

    def act(world: World) -> None:
        work(world)
        if world.is_rank0:
            os.kill(os.getpid(), signal.SIGSTOP)
        if is_busy:
            time.sleep(60)
        work(world)

    started = time.monotonic()
    ends = start(3, act, patience=3.0)
    assert time.monotonic() - started < 25
    assert ends.pop(0) == (None, -signal.SIGKILL)
    if is_busy:
        assert ends == {1: (None, 2), 2: (None, 2)}
        return
    for error, status in ends.values():
        assert status == 0
        assert error is not None
        assert error[0] is RankLost  # type: ignore[index]
        assert "Rank 0 is gone" in error[1]  # type: ignore[index]
