"""Pictures as files, one folder per class."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from rarefy.data._decode import ENDINGS, MOST_BYTES
from rarefy.data._errors import CorruptData
from rarefy.data._files import read_file, show_path
from rarefy.data._listing import describe_left_out, find_fault, is_folder, is_hidden, list_pictures, scan_folder
from rarefy.data._names import PackedNames


@dataclasses.dataclass(frozen=True, eq=False)
class FolderStore:
    """``train/n01440764/n01440764_10026.JPEG``: classes are folders in the order of their names, as are pictures.

    A class's pictures may lie in folders below its own, as in ``train/n01443537/images/n01443537_0.JPEG``.

    Args:
        root: The folder that holds the class folders.
        names: Paths below it.
        labels: int64 [N].
        class_names: Names of the folders.
        left_out: Number of files of each kind that are not pictures.
    """

    root: Path
    names: PackedNames
    labels: Tensor
    class_names: tuple[str, ...]
    left_out: Mapping[str, int]

    @classmethod
    def open(cls, folder: Path, name: str) -> FolderStore | None:
        """Lists ``folder/name``; None if it has no class folders; raises CorruptData if pictures lie loose in it."""
        root = folder / name
        if not root.is_dir():
            return None
        entries = scan_folder(root)
        classes = [entry.name for entry in entries if not is_hidden(entry.name) and is_folder(entry)]
        left_out = Counter(_find_kinds(entries))
        if not classes:
            _refuse_loose_pictures(root, entries)
            return None
        names, sizes = [], []
        for class_name in classes:
            listing = list_pictures(root / class_name)
            if not listing.pictures:
                raise CorruptData(_explain_empty(root / class_name, listing.left_out), path=root / class_name)
            names += [f"{class_name}/{path}" for path in listing.pictures]
            sizes.append(len(listing.pictures))
            left_out += listing.left_out
        labels = torch.arange(len(classes)).repeat_interleave(torch.tensor(sizes))
        return cls(root, PackedNames.pack(names), labels, tuple(map(show_path, classes)), left_out)

    def key(self, number: int) -> str:
        """Such as ``n01440764/n01440764_10026.JPEG``."""
        return self.names[number]

    def place(self, number: int) -> str:
        """The file's path."""
        return show_path(self.root / self.key(number))

    def read(self, number: int) -> bytes:
        """The file."""
        return read_file(self.root / self.key(number), MOST_BYTES)


def _find_kinds(entries: list[os.DirEntry[str]]) -> Iterator[str]:
    """Names the kinds of entries that are not class folders."""
    for entry in entries:
        if is_hidden(entry.name):
            yield "hidden"
        elif not is_folder(entry):
            yield find_fault(entry) or "outside class folders"


def _refuse_loose_pictures(root: Path, entries: list[os.DirEntry[str]]) -> None:
    loose = [entry.name for entry in entries if not (is_hidden(entry.name) or find_fault(entry))]
    if loose:
        raise CorruptData(
            f"{show_path(root)} holds pictures ({show_path(loose[0])}, ...) and no class folders, as ImageNet's "
            "validation archive unpacks. Sort them into folders named as those of train.",
            path=root,
        )


def _explain_empty(folder: Path, left_out: Mapping[str, int]) -> str:
    found = f", only {describe_left_out(left_out)}" if left_out else ""
    return f"The class folder {show_path(folder)} holds no pictures{found}. Pictures are {', '.join(ENDINGS)}."
