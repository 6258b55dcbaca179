"""Stores of encoded pictures: class folders, tar shards or parquet files, with one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from rarefy.data._folders import FolderStore
from rarefy.data._parquet import ParquetStore
from rarefy.data._shards import TarStore


class Store(Protocol):
    """Encoded pictures by number, with their labels; goes to worker processes."""

    @property
    def labels(self) -> Tensor:
        """int64 [N]."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each label, or empty where the files have none."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of files of each kind that are not pictures."""
        ...

    def key(self, number: int) -> str:
        """Returns a picture's name, which does not depend on where the store is."""
        ...

    def place(self, number: int) -> str:
        """Describes where a picture is, for people."""
        ...

    def read(self, number: int) -> bytes:
        """Reads the encoded bytes of a picture."""
        ...


def open_store(folder: Path, *names: str) -> Store | None:
    """Opens the part of a data set with one of these names, in any of the forms; None if there is none."""
    for name in names:
        for form in (FolderStore, TarStore, ParquetStore):
            store = form.open(folder, name)
            if store is not None:
                return store
    return None
