"""A record as a run writes it, and one that was frozen when schema version 1 was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from rarefy.records import Epoch, LayerCount, Params, Record, Timing


def make_record(name: str = "3f2a9c1b77de", **changes: object) -> Record:
    values = {
        "id": name,
        "created": "2025-01-31T12:34:56+00:00",
        "config": {"density": 0.25, "allocation": {"name": "erk"}, "training": {"clip_norm": None}},
        "versions": {"rarefy": "0.1.0", "python": "3.11.7"},
        "environment": {"device": "cpu", "threads": 2},
        "layers": (
            LayerCount(name="fc1.weight", shape=(4, 6), kept=4, density=1 / 6),
            LayerCount(name="fc2.weight", shape=(2, 4), kept=4, density=0.5),
        ),
        "density": 0.25,
        "params": Params(total=32, kept=8, all=38),
        "masks": {"checksum": "00ff", "seed": 17},
        "engine": {"engine": "masked", "layers": {"fc1.weight": "dense", "fc2.weight": "dense"}},
        "history": (
            Epoch(epoch=1, train_loss=0.7, train_accuracy=0.1, lr=0.1, seconds=1.5, data_seconds=0.25),
            Epoch(
                epoch=2, train_loss=0.1 + 0.2, train_accuracy=0.5, lr=0.01, seconds=1.0, data_seconds=0.25,
                validation_loss=0.6, validation_accuracy=0.75, of_a_callback=3,
            ),
        ),
        "selected_epoch": 2,
        "metrics": {"test": {"accuracy": 0.625, "loss": 1e-30}},
        "timing": Timing(seconds_per_epoch=1.25, data_seconds=0.25, images_per_second=64.0, peak_memory_bytes=None),
        "files": {"model.safetensors": 1234},
    }  # fmt: skip
    return Record(**(values | changes))


@pytest.fixture
def record() -> Record:
    return make_record()


@pytest.fixture
def make():
    return make_record


@pytest.fixture
def golden() -> Path:
    return Path(__file__).parent / "golden"
