"""The values of the room: Spec, Augment, Split."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchvision.transforms import functional

from rarefy.data import Augment, Spec, Split

SPEC = Spec("three", 2, 3, 4, 5, (0.1, 0.5, 0.9), (0.2, 0.3, 0.4), ("no", "yes"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalize_is_torchvisions(dtype: torch.dtype) -> None:
    pixels = torch.rand(7, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)
    ours = SPEC.normalize(pixels)
    assert ours.dtype == dtype
    assert torch.equal(ours, functional.normalize(pixels, list(SPEC.mean), list(SPEC.std)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": (0.5,)}, "three has 3 channels but 1 means and 3 deviations"),
        ({"std": (0.5,) * 4}, "3 means and 4 deviations"),
        ({"class_names": ("no",)}, "three has 2 classes but 1 class names"),
    ],
)
def test_a_spec_has_to_fit_itself(change: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **change)


@pytest.mark.parametrize(("pad", "mode"), [(-1, "zero"), (4, "none"), (0, "reflect"), (0, "zero")])
def test_pad_and_mode_go_together(pad: int, mode: str) -> None:
    with pytest.raises(ValueError, match=f"pad={pad} does not go with mode='{mode}'"):
        Augment(pad=pad, mode=mode)  # type: ignore[arg-type]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="Padding mode 'edge' is unknown; use 'reflect', 'zero' or 'none'"):
        Augment(pad=4, mode="edge")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(0, 1, 3, 3, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_a_split_holds_what_it_says(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="A split"):
        Split(images, labels)
