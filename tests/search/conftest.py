"""An executor that trains nothing: it writes records whose accuracies are a known function of density and seed."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rarefy.paths import RunPaths
from rarefy.records import Record, write
from rarefy.sweeps import Job, JobResult

GOLDEN = json.loads((Path(__file__).parents[1] / "records" / "golden" / "record1.json").read_text())
VALIDATION_OFF = 0.05  # short runs must be read from the validation split


@dataclasses.dataclass
class Pretender:
    """Accuracy 0.9 down to density `knee`, 3 points less with every halving below; sparse runs may fail."""

    knee: float = 0.1
    bad: str = ""
    workers: int | None = None
    threads: int | None = None
    is_remote: ClassVar[bool] = False
    slots: ClassVar[int] = 2
    opened: int = 0
    closed: int = 0
    jobs: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, count: int, *, accelerated: bool = False) -> Iterator[Pretender]:
        self.opened += 1
        yield self
        self.closed += 1

    def submit(self, job: Job) -> Any:
        self.jobs.append(job.values)
        end = self._fail(job) if self.bad and job.values["density"] < 1 else self._train(job)
        return type("Ended", (), {"poll": lambda self: end, "stop": lambda self: None})()

    def accuracy(self, values: dict[str, Any]) -> float:
        chance = random.Random(f"{values['density']} {values['seed']}").gauss(0, 0.001)
        return 0.9 - 0.03 * max(0.0, math.log2(self.knee / values["density"])) + chance

    def _fail(self, job: Job) -> JobResult:
        return JobResult("failed", f"OSError: {self.bad}")

    def _train(self, job: Job) -> JobResult:
        accuracy, epochs = self.accuracy(job.values), job.values["training"]["epochs"]
        values = copy.deepcopy(GOLDEN) | {"id": job.folder.name, "config": job.values, "selected_epoch": epochs}
        rows = [GOLDEN["history"][0] | {"epoch": at + 1} for at in range(epochs)]
        values["history"] = [row | {"validation_accuracy": accuracy - VALIDATION_OFF} for row in rows]
        values["metrics"] = {"test": {"accuracy": accuracy, "loss": 0.3}}
        write(Record(**values), RunPaths(job.folder).record)
        return JobResult("done")


@pytest.fixture
def pretender() -> type[Pretender]:
    return Pretender


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rarefy.sweeps._loop.POLL_SECONDS", 0.0)
