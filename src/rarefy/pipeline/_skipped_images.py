"""Counts the images that a run skipped because they could not be decoded, each once over all ranks."""

from __future__ import annotations

import torch

from rarefy import data
from rarefy.distributed import World
from rarefy.pipeline._folder import LOG


def count_skipped_images(splits: data.Splits, world: World) -> dict[str, int]:
    """Counts skipped images by split, the same on every rank; rank 0 logs those that others skipped."""
    splits_by_name = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    counts = {
        name: _count_skipped(split, world)
        for name, split in splits_by_name.items()
        if isinstance(split, data.StreamedSplit)
    }
    return {name: count for name, count in counts.items() if count}


def _count_skipped(split: data.StreamedSplit, world: World) -> int:
    own = torch.tensor(sorted(split.bad), dtype=torch.int64, device="cpu")
    numbers = sorted(set(world.all_gather(own).tolist()))
    if world.is_rank0:
        for number in numbers:
            if number not in split.bad:
                LOG.warning("another rank skipped a bad picture: %s", split.store.place(number), extra={"noted": False})
    return len(numbers)
