"""Images that a run left out because they cannot be decoded: each counted once, whichever ranks met it."""

from __future__ import annotations

import torch

from rarefy import data
from rarefy.distributed import World
from rarefy.pipeline._folder import LOG


def skipped_images(splits: data.Splits, world: World) -> dict[str, int]:
    """How many by split, those with any, the same on every rank; the first names in its log what others met."""
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    found = {name: _met(split, world) for name, split in parts.items() if isinstance(split, data.StreamedSplit)}
    return {name: count for name, count in found.items() if count}


def _met(split: data.StreamedSplit, world: World) -> int:
    own = torch.tensor(sorted(split.bad), dtype=torch.int64, device="cpu")
    numbers = sorted(set(world.all_gather(own).tolist()))
    if world.is_rank0:
        for number in numbers:
            if number not in split.bad:
                LOG.warning("another rank skipped a bad picture: %s", split.store.place(number), extra={"noted": False})
    return len(numbers)
