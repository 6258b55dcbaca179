"""A description of a data set for people."""

from __future__ import annotations

from collections.abc import Iterator

from rarefy.data._listing import describe_left_out
from rarefy.data._split import Split
from rarefy.data._splits import Splits
from rarefy.data._streamed import AnySplit, StreamedSplit

_SHOWN = 5


def describe_splits(splits: Splits) -> list[str]:
    """Describes how many images each split has, what was left out, and which classes have no training image.

    Example:
        >>> from pathlib import Path
        >>> import torch
        >>> from rarefy.data import DATASETS, load
        >>> describe_splits(load(DATASETS.build("digits"), Path("data"), torch.Generator()))
        ['digits: 1,085 training, 357 validation and 355 test images of 10 classes']
    """
    what = "rows" if isinstance(splits.train, Split) and splits.train.images.is_floating_point() else "images"
    counts = (
        f"{len(splits.train):,} training, {len(splits.validation):,} validation and {len(splits.test):,} test {what}"
    )
    held_out = "; ".join(
        f"{fraction:g} of each class held out for {name}" for name, fraction in splits.held_out.items()
    )
    lines = [f"{splits.spec.name}: {counts} of {splits.spec.classes:,} classes" + (held_out and f"; {held_out}")]
    lines += [*_describe_left_out("train", splits.train), *_describe_left_out("val", splits.test)]
    return lines + list(_describe_empty_classes(splits))


def _describe_left_out(name: str, split: AnySplit) -> Iterator[str]:
    if isinstance(split, StreamedSplit) and split.store.left_out:
        yield f"left out of {name}: {describe_left_out(split.store.left_out)}"


def _describe_empty_classes(splits: Splits) -> Iterator[str]:
    sizes = splits.train.labels.cpu().bincount(minlength=splits.spec.classes)
    empty = (sizes == 0).nonzero().flatten().tolist()
    if empty:
        shown = ", ".join(map(str, empty[:_SHOWN])) + (", ..." if len(empty) > _SHOWN else "")
        first = f": labels begin with 0, these go from 1 to {len(sizes) - 1}" if empty == [0] else ""
        yield f"no training image for {len(empty):,} of {len(sizes):,} classes ({shown}){first}"
