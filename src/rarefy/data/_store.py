"""Where encoded pictures lie: class folders, tar shards or parquet files, behind one contract."""

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
        """How many files of which kind lie beside the pictures and are none."""
        ...

    def key(self, number: int) -> str:
        """A picture's name, wherever the store lies."""
        ...

    def place(self, number: int) -> str:
        """Where a picture is, for people."""
        ...

    def read(self, number: int) -> bytes:
        """A picture as its file has it."""
        ...


def open_store(folder: Path, *names: str) -> Store | None:
    """The part of a data set that goes by one of these names, in whichever form it is there; None: in none."""
    for name in names:
        for form in (FolderStore, TarStore, ParquetStore):
            store = form.open(folder, name)
            if store is not None:
                return store
    return None
