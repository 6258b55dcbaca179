"""Pictures as files, a folder a class."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy
import torch
from torch import Tensor

from rarefy.data._source import CorruptData

_ENDINGS = (".jpeg", ".jpg", ".png", ".webp", ".bmp")


@dataclasses.dataclass(frozen=True, eq=False)
class Folders:
    """``train/n01440764/n01440764_10026.JPEG``: classes are folders in the order of their names, as are pictures.

    Args:
        root: The folder that holds the class folders.
        names: Paths below it; bytes of one array, which worker processes share.
        labels: int64 [N].
        class_names: Names of the folders.
    """

    root: Path
    names: numpy.ndarray
    labels: Tensor
    class_names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, name: str) -> Folders | None:
        """Lists ``folder/name``; None if it has no class folders; raises CorruptData if pictures lie loose in it."""
        root = folder / name
        if not root.is_dir():
            return None
        classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
        if not classes:
            loose = _pictures(root)
            if loose:
                raise CorruptData(
                    f"{root} holds pictures ({loose[0]}, ...) and no class folders, as ImageNet's validation archive "
                    "unpacks. Sort them into folders named as those of train."
                )
            return None
        listed = [_pictures(root / folder_name) for folder_name in classes]
        for class_name, pictures in zip(classes, listed, strict=True):
            if not pictures:
                raise CorruptData(f"The class folder {root / class_name} holds no pictures ({', '.join(_ENDINGS)}).")
        names = [f"{folder_name}/{p}" for folder_name, pictures in zip(classes, listed, strict=True) for p in pictures]
        labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(pictures) for pictures in listed]))
        return cls(root, numpy.array([os.fsencode(path) for path in names]), labels, tuple(classes))

    def key(self, number: int) -> str:
        """Such as ``n01440764/n01440764_10026.JPEG``."""
        return os.fsdecode(self.names[number])

    def place(self, number: int) -> str:
        """The file's path."""
        return str(self.root / self.key(number))

    def read(self, number: int) -> bytes:
        """The file."""
        return (self.root / self.key(number)).read_bytes()


def _pictures(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(_ENDINGS))
