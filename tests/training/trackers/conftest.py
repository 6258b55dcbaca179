"""A run without a training: its history grows by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from rarefy.training import Event, TrackedRun, TrackerCallback

ID = "3f2a9c1b77de"
EPOCHS = 4


def make_row(epoch: int) -> dict:
    return {"epoch": epoch, "train_loss": 1 / epoch, "lr": 0.1, "mask_overlap": None, "of_a_callback": "text"}


class Play:
    """Plays the events of a training to trackers, and may be killed between any two."""

    def __init__(self, folder: Path) -> None:
        config = {"density": 0.1, "training": {"lr": 0.1, "clip_norm": None, "epochs": EPOCHS}}
        self.run = TrackedRun(ID, folder, config)
        self.history: list[dict] = []

    def __call__(
        self, tracker, *, until: int = EPOCHS, history: int | None = None, stop: bool = False
    ) -> TrackerCallback:
        """From where the checkpoint was (`history` epochs) to epoch `until`; without `stop` a kill."""
        if history is not None:
            self.history = [make_row(epoch) for epoch in range(1, history + 1)]
        tracking = TrackerCallback([tracker], self.run)
        self._tell(tracking, Event.START)
        while len(self.history) < until:
            self._tell(tracking, Event.STEP)
            self.history.append(make_row(len(self.history) + 1))
            self._tell(tracking, Event.EPOCH)
        if until == EPOCHS or stop:
            self._tell(tracking, Event.END)
        if until == EPOCHS:
            tracking.finish(self.history, {"accuracy": 0.75, "confusion": [[1]], "images": 16})
        return tracking

    def _tell(self, tracking: TrackerCallback, event: Event) -> None:
        settings = SimpleNamespace(values=SimpleNamespace(epochs=EPOCHS))
        tracking(event, SimpleNamespace(epoch=len(self.history), history=self.history, settings=settings))


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path / "runs" / ID)


@pytest.fixture(autouse=True)
def _needs_the_package(request: pytest.FixtureRequest) -> None:
    package = getattr(request.module, "PACKAGE", None)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs the package {package}: the extra of that name")
