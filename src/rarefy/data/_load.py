"""The protocol of a data set, the registry of them, ``parse`` and ``load``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Protocol

import torch

from rarefy.data._splits import Splits
from rarefy.data._streamed import AnySplit
from rarefy.errors import InvalidInput, UnknownName, UnknownOption
from rarefy.registry import Registry


class Dataset(Protocol):
    """A data set's options; calling it reads (or makes) its three splits.

    ``directory`` is where data sets are looked for; ``generator`` is drawn from only where content is random. A data
    set with a field ``path`` is written with it: ``folder:photos``.
    """

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Reads the data set."""
        ...


_MOST_WORKERS = 8

DATASETS: Registry[Dataset] = Registry("data set", "datasets")


def parse(name: str, **options: Any) -> Dataset:
    """Builds a data set from the name that a person writes: ``cifar10``, or ``folder:photos`` for one at a path.

    Args:
        name: A registered name, for one at a path with ``:`` and the path.
        **options: Options of the data set.

    Raises:
        UnknownName: If no data set has that name; says how to bring your own.
        UnknownOption: If an option does not fit.

    Example:
        >>> parse("npz:dots.npz", valid_split=0.2).path
        'dots.npz'
    """
    kind, colon, path = name.partition(":")
    if colon and "path" in options:
        raise UnknownOption(
            f"The data set {name!r} has its path in the name and as an option; drop one.", option="path"
        )
    try:
        known = DATASETS.get(kind.strip())
    except UnknownName as error:
        raise UnknownName(f"{error} {_describe_own(name)}", kind=error.kind, name=name, known=error.known) from None
    fields = {field.name for field in dataclasses.fields(known)}
    if colon and "path" not in fields:
        raise UnknownName(f"The data set {kind!r} has no path; got {name!r}. {_describe_own(path)}", name=name)
    return DATASETS.build(kind.strip(), **options, **({"path": path.strip()} if colon else {}))


def read_settings(dataset: Dataset) -> dict[str, Any]:
    """Reads the settings that `parse` builds a data set from: its name, with its path if it has one, and its options.

    Example:
        >>> read_settings(parse("imagenet", resolution=64))["resolution"]
        64
    """
    values = dataclasses.asdict(dataset)  # type: ignore[call-overload]
    options: dict[str, Any] = json.loads(json.dumps(values))  # plain lists and numbers
    path = options.pop("path", None)
    name = DATASETS.name_of(dataset)
    return {"name": name if path is None else f"{name}:{path}"} | options


def _describe_own(name: str) -> str:
    """Describes how data of one's own are named, with a suggestion if the name is a path that exists."""
    forms = {key: form for key in DATASETS.names() if (form := getattr(DATASETS.get(key), "form", ""))}
    path, likely = Path(name), None
    if path.is_dir():
        likely = "hf" if any(path.rglob("*.parquet")) or any(path.rglob("*.arrow")) else "folder"
    elif path.is_file():
        likely = path.suffix.lower().lstrip(".")
    hint = f" {name} is there: --data {likely}:{name}." if likely in forms else ""
    return f"Data of your own: {', '.join(f'--data {form}' for form in forms.values())}.{hint}"


def load(dataset: Dataset, directory: Path, generator: torch.Generator, *, workers: int | None = None) -> Splits:
    """Loads a data set as train, validation and test split, into memory or, if it does not fit, streamed from disk.

    Args:
        dataset: A built data set: ``DATASETS.build("cifar10")``.
        directory: The folder in which data sets are looked for.
        generator: Random numbers for data sets that are made rather than read; official files are split the same way
            whatever the seed.
        workers: Processes that decode pictures of a data set that is not in memory; 0: this one; None: one for each of
            torch's threads, at most 8. They change no bit.

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
    before = generator.get_state()
    splits = dataset(Path(directory), generator)
    splits = dataclasses.replace(splits, is_drawn=not torch.equal(before, generator.get_state()))
    for name in ("train", "validation", "test"):
        _check(name, getattr(splits, name), splits)
    return splits.with_workers(min(torch.get_num_threads(), _MOST_WORKERS) if workers is None else workers)


def _check(name: str, split: AnySplit, splits: Splits) -> None:
    spec = splits.spec
    shape = (spec.channels, spec.height, spec.width)
    if split.shape != shape:
        raise InvalidInput(f"The {name} split of {spec.name} has images of shape {split.shape}, its spec says {shape}.")
    low, high = (int(value) for value in split.labels.aminmax())
    if low < 0 or high >= spec.classes:
        raise InvalidInput(
            f"The {name} split of {spec.name} has labels {low} to {high}; "
            f"with {spec.classes} classes they are 0 to {spec.classes - 1}."
        )
