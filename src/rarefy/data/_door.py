"""The contract of a data set, the registry of them, and the verb."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from rarefy.data._splits import Split, Splits
from rarefy.registry import Registry


class Dataset(Protocol):
    """A data set's options; calling it reads (or makes) its three splits.

    ``directory`` is where data sets are looked for; ``generator`` is drawn from only where content is random.
    """

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Reads the data set."""
        ...


DATASETS: Registry[Dataset] = Registry("data set", "datasets")


def load(dataset: Dataset, directory: Path, generator: torch.Generator) -> Splits:
    """A data set as train, validation and test split, in main memory.

    Args:
        dataset: A built data set: ``DATASETS.build("cifar10")``.
        directory: The folder in which data sets are looked for.
        generator: Random numbers for data sets that are made rather than read; official files are split the same way
            whatever the seed.

    Returns:
        Splits of uint8 images [N, C, H, W] and int64 labels [N], on the CPU.

    Raises:
        MissingData: If the files are not there; says where it looked and what to download.
        CorruptData: If a file is not the official one; names it.
        ValueError: If an option does not fit the data, or a data set breaks its promise.

    Example:
        >>> dataset = DATASETS.build("synthetic", classes=4, train=8)
        >>> splits = load(dataset, Path("data"), torch.Generator().manual_seed(17))
        >>> splits.train.images.shape, splits.train.labels.tolist()
        (torch.Size([8, 3, 32, 32]), [0, 1, 2, 3, 0, 1, 2, 3])
    """
    splits = dataset(Path(directory), generator)
    for name in ("train", "validation", "test"):
        _check(name, getattr(splits, name), splits)
    return splits


def _check(name: str, split: Split, splits: Splits) -> None:
    spec = splits.spec
    shape = (spec.channels, spec.height, spec.width)
    found = tuple(split.images.shape[1:])
    if found != shape:
        raise ValueError(f"The {name} split of {spec.name} has images of shape {found}, its spec says {shape}.")
    low, high = (int(value) for value in split.labels.aminmax())
    if low < 0 or high >= spec.classes:
        raise ValueError(
            f"The {name} split of {spec.name} has labels {low} to {high}; "
            f"with {spec.classes} classes they are 0 to {spec.classes - 1}."
        )
