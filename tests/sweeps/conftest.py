"""Sweeps of tiny runs, and an executor that does what a test tells it to."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rarefy.sweeps import Job, JobResult, SweepRun, read_sweep


@pytest.fixture
def write(tmp_path: Path, tiny_run: dict[str, Any]) -> Callable[..., Path]:
    """Writes a sweep file: base is tiny unless the test gives one."""

    def to_file(**parts: Any) -> Path:
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump({"base": tiny_run, **parts}, sort_keys=False))
        return path

    return to_file


@pytest.fixture
def runs(write: Callable[..., Path]) -> Callable[[int], list[SweepRun]]:
    """As many tiny runs as asked for; they differ in their seed."""
    return lambda count: read_sweep(write(grid={"seed": list(range(count))}))


@pytest.fixture
def job_of(tmp_path: Path) -> Callable[..., Job]:
    def job(run: SweepRun, **changes: Any) -> Job:
        values = run.config.model_dump(mode="json") | changes
        return Job(values, tmp_path / "runs" / run.id, tmp_path)

    return job


@dataclasses.dataclass
class Scripted:
    """An executor in this process: `script(job, attempt)` says how each attempt ends, None that it goes on."""

    script: Callable[[Job, int], JobResult | None]
    workers: int = 2
    threads: int = 1
    is_remote = False
    jobs: list[Job] = dataclasses.field(default_factory=list)
    at_once: int = 0
    stopped: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[Scripted]:
        self.going: list[_Attempt] = []
        yield self

    @property
    def slots(self) -> int:
        return self.workers

    def submit(self, job: Job) -> _Attempt:
        self.jobs.append(job)
        attempt = _Attempt(self, job, sum(other.folder == job.folder for other in self.jobs))
        self.going.append(attempt)
        self.at_once = max(self.at_once, len(self.going))
        return attempt


class _Attempt:
    def __init__(self, owner: Scripted, job: Job, number: int) -> None:
        self._owner, self._job, self._number = owner, job, number
        self._stop = False

    def poll(self) -> JobResult | None:
        end = JobResult("stopped", "asked to") if self._stop else self._owner.script(self._job, self._number)
        if end is not None:
            self._owner.going.remove(self)
        return end

    def stop(self) -> None:
        self._owner.stopped.append(self._job.folder.name)
        self._stop = True


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop looks more often than it would."""
    monkeypatch.setattr("rarefy.sweeps._loop.POLL_SECONDS", 0.01)


@pytest.fixture
def longer(write: Callable[..., Path], tiny_run: dict[str, Any]) -> Callable[..., list[SweepRun]]:
    """As many runs as asked for, of as many epochs."""

    def differing(count: int, epochs: int) -> list[SweepRun]:
        return read_sweep(write(base=tiny_run | {"epochs": epochs}, grid={"seed": list(range(count))}))

    return differing
