from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rarefy.data import CorruptData, MissingData, Spec, Split
from rarefy.evaluation.corruptions import (
    COMMON,
    compute_corruption_errors,
    compute_mean_corruption_error,
    corrupt,
    iterate_corruptions,
    load_official,
)

SPEC = Spec("dots", classes=2, channels=3, height=32, width=32, mean=(0.0,) * 3, std=(1.0,) * 3)


class Bright(nn.Module):
    """Class 1 for images brighter than a level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level / 255

    def forward(self, pixels: Tensor) -> Tensor:
        above = pixels.mean((1, 2, 3)) - self.level
        return torch.stack([-above, above], 1)


def test_errors_by_hand() -> None:
    """Brightness adds 0.05, 0.1, ... to a level of 100: from 0.15 on (138) images are taken for bright ones."""
    split = Split(torch.full((4, 3, 32, 32), 100, dtype=torch.uint8), torch.tensor([0, 0, 0, 1]))
    found = compute_corruption_errors(Bright(130), SPEC, iterate_corruptions(split, ["Brightness", "contrast"]))
    assert found["images"] == 4
    assert found["errors"] == {"brightness": [0.25, 0.25, 0.75, 0.75, 0.75], "contrast": [0.25] * 5}
    assert found["mean_error"] == pytest.approx((0.55 + 0.25) / 2)


def test_the_mean_is_over_the_fifteen(images: Tensor) -> None:
    split = Split(images, torch.zeros(4, dtype=torch.int64))
    found = compute_corruption_errors(Bright(0), SPEC, iterate_corruptions(split, ["fog", "saturate"], [1], limit=2))
    assert found["images"] == 2 and found["severities"] == [1]
    assert found["mean_error"] == found["errors"]["fog"][0]  # type: ignore[index]
    assert (
        compute_corruption_errors(Bright(0), SPEC, iterate_corruptions(split, ["saturate"], [1]))["mean_error"] is None
    )
    assert len(COMMON) == 15


def test_a_limit_shows_the_same_images(images: Tensor) -> None:
    many = images.repeat(150, 1, 1, 1)[:505]
    assert torch.equal(corrupt(many, "impulse_noise", 2)[:500], corrupt(many[:500], "impulse_noise", 2))
    assert not torch.equal(corrupt(many, "impulse_noise", 2)[500:], corrupt(many[:5], "impulse_noise", 2))


def test_model_is_not_changed(images: Tensor) -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3072, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    compute_corruption_errors(
        net, SPEC, iterate_corruptions(Split(images, torch.zeros(4, dtype=torch.int64)), ["fog"], [1])
    )
    assert net.training and all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def official(folder: Path) -> None:
    """50,000 rows on disk without 150 MB: a sparse file, of which a few rows are written."""
    pixels = np.lib.format.open_memmap(folder / "fog.npy", mode="w+", dtype=np.uint8, shape=(50_000, 32, 32, 3))
    labels = np.lib.format.open_memmap(folder / "labels.npy", mode="w+", dtype=np.uint8, shape=(50_000,))
    pixels[20_000:20_003, :, :, 1] = 200
    labels[20_000:20_003] = [1, 1, 0]
    pixels.flush()
    labels.flush()


def test_official_files(tmp_path: Path, images: Tensor) -> None:
    official(tmp_path)
    split = load_official(tmp_path, "fog", 3, limit=3)
    assert split.images.shape == (3, 3, 32, 32) and split.labels.tolist() == [1, 1, 0]
    assert (split.images[:, 1] == 200).all() and (split.images[:, 0] == 0).all()
    assert len(load_official(tmp_path, "fog", 5)) == 10_000
    unused = Split(images, torch.zeros(4, dtype=torch.int64))
    found = compute_corruption_errors(
        Bright(50), SPEC, iterate_corruptions(unused, ["fog"], [3], official=tmp_path, limit=3)
    )
    assert found == {
        "images": 3,
        "severities": [3],
        "errors": {"fog": [pytest.approx(1 / 3)]},
        "mean_error": pytest.approx(1 / 3),
    }


def test_official_files_that_are_not_there_or_not_official(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"snow\.npy is not there.*regenerate"):
        load_official(tmp_path, "snow", 1)
    np.save(tmp_path / "snow.npy", np.zeros((7, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"has shape \[7, 32, 32, 3\]"):
        load_official(tmp_path, "snow", 1)


def cut_array(path: Path) -> None:
    np.save(path, np.zeros((50, 4), np.uint8))
    path.write_bytes(path.read_bytes()[:-9])


def name_an_archive_so(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(3))


@pytest.mark.parametrize(
    "write",
    [
        cut_array,
        name_an_archive_so,
        lambda path: np.save(path, np.array([{}], dtype=object)),
        lambda path: path.write_bytes(pickle.dumps([1])),
        lambda path: path.write_bytes(b""),
        lambda path: np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(50_000, 1, 1, 3)),
    ],
)
def test_arrays_that_are_none_are_named(write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path / "fog.npy")
    with pytest.raises(CorruptData) as caught:
        load_official(tmp_path, "fog", 1)
    assert caught.value.path == tmp_path / "fog.npy"


def test_mean_corruption_error_by_hand() -> None:
    errors, baseline = {"fog": [0.1, 0.3], "snow": [0.6, 0.6]}, {"fog": [0.2, 0.2], "snow": [0.2, 0.6]}
    assert compute_mean_corruption_error(errors) == pytest.approx(0.4)
    assert compute_mean_corruption_error(errors, baseline) == pytest.approx((1 + 1.5) / 2)
    assert compute_mean_corruption_error(errors, errors) == 1
    for wrong in ({}, {"fog": []}):
        with pytest.raises(ValueError, match="at least one corruption"):
            compute_mean_corruption_error(wrong)
    with pytest.raises(ValueError, match="same corruptions and severities"):
        compute_mean_corruption_error(errors, {"fog": [0.1, 0.1]})
    with pytest.raises(ValueError, match="makes no error"):
        compute_mean_corruption_error({"fog": [0.1]}, {"fog": [0.0]})


def test_nothing_to_do(images: Tensor) -> None:
    split = Split(images, torch.zeros(4, dtype=torch.int64))
    for names, severities, limit in (([], [1], None), (["fog"], [], None), (["fog"], [1], 0)):
        with pytest.raises(ValueError, match="at least one corruption"):
            iterate_corruptions(split, names, severities, limit=limit)
    with pytest.raises(ValueError, match="no corrupted images"):
        compute_corruption_errors(Bright(0), SPEC, [])


def test_a_list_serves_one_model_after_the_other(images: Tensor) -> None:
    variants = list(iterate_corruptions(Split(images, torch.zeros(4, dtype=torch.int64)), ["fog", "snow"], [1, 3]))
    first, second = (compute_corruption_errors(Bright(level), SPEC, variants) for level in (0, 255))
    assert first["errors"] == {"fog": [1, 1], "snow": [1, 1]} and second["errors"] == {"fog": [0, 0], "snow": [0, 0]}
    assert first["severities"] == [1, 3]
