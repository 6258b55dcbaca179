"""A few images of every class, for rules that score weights on data."""

from __future__ import annotations

import torch
from torch import Tensor

from rarefy.data._split import Split
from rarefy.data._streamed import AnySplit
from rarefy.errors import InvalidInput


def draw_balanced(split: AnySplit, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws ``count`` images, one class after the other: any two classes differ by at most one image while both last.

    Args:
        split: Where to draw from, without replacement.
        count: Number of images, 1 to ``len(split)``.
        generator: CPU generator; which images of a class are drawn depends on it alone.

    Returns:
        uint8 images [count, C, H, W] and int64 labels [count], on the split's device; labels cycle through the classes.

    Raises:
        ValueError: If ``count`` is out of range.

    Example:
        >>> split = Split(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 0, 0, 0, 1, 2]))
        >>> draw_balanced(split, 5, torch.Generator().manual_seed(1))[1]
        tensor([0, 1, 2, 0, 0])
    """
    if not 0 < count <= len(split):
        raise InvalidInput(f"Cannot draw {count} images from a split of {len(split)}; use 1 to {len(split)}.")
    shuffled = torch.randperm(len(split), generator=generator)
    labels = split.labels.cpu()[shuffled]
    by_class = labels.argsort(stable=True)
    sizes = labels.bincount()
    turn = torch.arange(len(split)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    # Stable: within a turn, images stay in the order of their classes.
    drawn = split.select(shuffled[by_class[turn.argsort(stable=True)[:count]]])
    return drawn.images, drawn.labels


def take_first(split: AnySplit, limit: int | None) -> Split:
    """Takes the first ``limit`` images of a split into memory; None: all.

    Example:
        >>> split = Split(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6))
        >>> take_first(split, 3).labels
        tensor([0, 1, 2])
    """
    if isinstance(split, Split) and (limit is None or limit >= len(split)):
        return split
    return split.select(torch.arange(len(split))[:limit])


def take_spaced(split: AnySplit, limit: int | None) -> Split:
    """Takes at most ``limit`` evenly spaced images of a split into memory; None: all.

    Example:
        >>> split = Split(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6))
        >>> take_spaced(split, 3).labels
        tensor([0, 2, 4])
    """
    if limit is None or limit >= len(split):
        return take_first(split, None)
    return split.select(space_indices(len(split), limit))


def space_indices(count: int, limit: int | None) -> Tensor:
    """Computes at most ``limit`` evenly spaced indices below ``count``, int64; None: all.

    Example:
        >>> space_indices(6, 3)
        tensor([0, 2, 4])
    """
    return torch.arange(count) if limit is None or limit >= count else torch.arange(limit) * count // limit
