"""Pictures that are decoded while training, from end to end: interrupted or not, the same bits."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from rarefy.cli import main
from rarefy.config import Config
from rarefy.pipeline import run
from rarefy.records import read
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


RELEASED = (
    "train --sparse --fix --sparse_init ERK_plus --fc_density 1.0 --multiplier 1 --seed 17 --master_port 4545 -j1 "
    "-p 500 --arch resnet18 -c fanin --fp16 --static-loss-scale 256 --label-smoothing 0.1 -b 8 --lr 0.4 --warmup 5 "
    "--epochs 1 --density 0.2 --resolution 8 --valid-split 0.2 --engine masked --quiet --save"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", ["", "-m torch.distributed.run --standalone --nproc-per-node 2"])
def test_the_released_command_trains(launcher: str, photographs: Path, tmp_path: Path) -> None:
    words = [sys.executable, *launcher.split(), "-m", "rarefy", *RELEASED.split(), tmp_path / "runs", photographs]
    done = subprocess.run(words, capture_output=True, text=True, timeout=800, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    record = read(folder)
    assert done.stdout.split() == [str(folder)]
    assert record.environment["ranks"] == (2 if launcher else 1)
    assert record.params.kept == round(0.2 * record.params.total)
    assert done.stderr.count("has no effect") == 3
    assert ("is a step of all 2 processes together" in done.stderr) == bool(launcher)


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


def test_skipped_images_are_in_the_record_and_on_the_screen(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "val/class1/val12.JPEG").write_bytes(b"no picture")
    (photographs / "train/class0/train03.JPEG").write_bytes(b"")
    (photographs / "train/class1/train14.JPEG").write_bytes(b"")
    words = f"train {photographs} --skip-bad-images --model mlp_8 --resolution 8 --valid-split 0.2 --epochs 1 -b 4 -j0"
    with pytest.raises(SystemExit, match="0"):
        main([*words.split(), "--engine", "masked", "--out", str(tmp_path / "runs")])
    (folder,) = (tmp_path / "runs").iterdir()
    counts = read(folder).skipped_images
    assert counts["test"] == 1
    assert sum(counts.values()) == 3
    log = (folder / "log.txt").read_text()
    assert all(name in log for name in ("val12.JPEG", "train03.JPEG", "train14.JPEG"))
    assert "skipped images" in capsys.readouterr().out
