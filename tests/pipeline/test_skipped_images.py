"""Skipped images are counted once, whoever met them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from rarefy.data import DATASETS, Splits, StreamedSplit, load
from rarefy.distributed import World
from rarefy.pipeline._skipped_images import count_skipped_images


@dataclasses.dataclass(frozen=True)
class OneOfTwo(World):
    """A rank whose peer skipped other images."""

    others: tuple[int, ...] = ()

    def all_gather(self, part: Tensor) -> Tensor:
        return torch.cat([part, torch.tensor(self.others, dtype=part.dtype)])


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    for name in ("train/a/1.png", "train/a/2.png", "train/a/3.png", "val/a/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return load(DATASETS.build("imagenet", resolution=2), tmp_path, torch.Generator(), workers=0)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_image_skipped_by_two_ranks_counts_once(rank: int, splits: Splits, caplog: pytest.LogCaptureFixture) -> None:
    alone = dataclasses.replace(
        splits, validation=splits.validation.select(torch.tensor([0]))
    )  # in memory: nothing is bad
    assert isinstance(alone.train, StreamedSplit)
    alone.train.bad.update({0: "empty", 1: "empty"})
    with caplog.at_level(logging.WARNING, logger="rarefy"):
        found = count_skipped_images(dataclasses.replace(alone, test=alone.validation), OneOfTwo(rank, 2, (1, 2)))
    assert found == {"train": 3}
    told = [record.getMessage() for record in caplog.records]
    assert [text.endswith("train/a/3.png") for text in told] == [True] * (rank == 0)  # the one that rank 0 has not met


def test_splits_in_memory_skip_nothing(splits: Splits) -> None:
    assert count_skipped_images(splits, World()) == {}
