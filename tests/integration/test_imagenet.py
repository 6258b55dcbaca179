"""Pictures that are decoded while training, from end to end: interrupted or not, the same bits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from rarefy.config import Config
from rarefy.run import run
from rarefy.training import Event, Interrupted, State


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes that a small network tells apart: dark ones and bright ones."""
    generator = torch.Generator().manual_seed(1)
    for part, count in (("train", 10), ("val", 4)):
        for label, shade in enumerate((60, 190)):
            folder = tmp_path / "data" / part / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                noise = torch.randint(-40, 40, (12, 14, 3), generator=generator) + shade
                Image.fromarray(noise.to(torch.uint8).numpy()).save(folder / f"{part}{label}{number}.JPEG")
    return tmp_path / "data"


def config() -> Config:
    return Config.from_values(
        {
            "data": {"name": "imagenet", "resolution": 8, "valid_split": 0.2}, "model": "mlp_16", "density": 0.5,
            "engine": "masked", "device": "cpu", "training": {"epochs": 2, "batch_size": 4, "lr": 0.01},
        }
    )  # fmt: skip


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_interrupted_in_mid_epoch_ends_with_the_same_bits(photographs: Path, tmp_path: Path) -> None:
    whole = run(config(), out=tmp_path / "whole", data_dir=photographs, workers=0)
    assert whole.metrics["test"]["accuracy"] > 0.5
    steps: list[int] = []

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    places = {"out": tmp_path / "stopped", "data_dir": photographs}
    with pytest.raises(Interrupted):
        run(config(), **places, workers=1, callbacks=[count], should_stop=lambda: len(steps) == 6)
    stopped = run(config(), **places, workers=0, callbacks=[count])
    assert steps == list(range(1, 9))  # none twice, none left out
    assert digest(tmp_path / "stopped" / stopped.id) == digest(tmp_path / "whole" / whole.id)
