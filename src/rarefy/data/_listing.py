"""Listing of the pictures below a folder, and of other files there."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath

from rarefy.data._decode import is_picture
from rarefy.data._errors import CorruptData
from rarefy.data._files import show_path

_SHOWN = 5
_OF_THE_SYSTEM = ("__MACOSX", "@eaDir")  # folders that macOS archives and Synology servers add


@dataclasses.dataclass(frozen=True)
class PictureListing:
    """Pictures below a folder, and the numbers of other files.

    Args:
        pictures: Paths below the folder, ``/`` between their parts, ordered by their parts.
        left_out: Number of files of each kind that are not pictures.
    """

    pictures: list[str]
    left_out: Counter[str]


def list_pictures(folder: Path) -> PictureListing:
    """Lists the pictures in a folder and in all folders below it.

    Hidden files and folders (``.x.png``, and ``._x.png`` of macOS), pipes and devices are not pictures.
    Symbolic links are followed; a folder that is met twice is listed once.

    Raises:
        CorruptData: If a folder cannot be listed; names it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.png", "notes.txt", "._b.png"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> list_pictures(folder)
        PictureListing(pictures=['b.png'], left_out=Counter({'hidden': 1, '.txt': 1}))
    """
    pictures: list[str] = []
    left_out: Counter[str] = Counter()
    seen = {_identify(path) for path in (folder, *folder.absolute().parents)}
    waiting = list(reversed(scan_folder(folder)))
    while waiting:  # a loop and no recursion: folders may lie a thousand deep
        entry = waiting.pop()
        if is_hidden(entry.name):
            left_out["hidden"] += 1
        elif not is_folder(entry):
            if why := find_fault(entry):
                left_out[why] += 1
            else:
                pictures.append(entry.path)
        elif (identity := _identify(entry)) in seen:
            left_out["linked twice"] += 1
        else:
            seen.add(identity)
            waiting += reversed(scan_folder(entry.path))
    start = len(os.fspath(folder)) + (not os.fspath(folder).endswith(os.sep))
    return PictureListing([path[start:].replace(os.sep, "/") for path in pictures], left_out)


def scan_folder(folder: Path | str) -> list[os.DirEntry[str]]:
    """Lists a folder in the order of names; raises CorruptData if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise CorruptData(f"{show_path(folder)} cannot be listed: {error.strerror}.", path=Path(folder)) from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and _read_type(entry) == stat.S_IFDIR)


def is_hidden(name: str) -> bool:
    """Whether a name is hidden or a system folder."""
    return name.startswith(".") or name in _OF_THE_SYSTEM


def find_fault(entry: os.DirEntry[str]) -> str:
    """Finds why a file is not a picture; empty for a picture and for a broken link, which fails when it is read."""
    if not is_picture(entry.name):
        return show_path(PurePath(entry.name).suffix.lower()) or "without ending"
    return "" if entry.is_file(follow_symlinks=False) or _read_type(entry) in (None, stat.S_IFREG) else "pipe or device"


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Describes how many files of each kind there are, the largest number first.

    Example:
        >>> describe_left_out({".txt": 3, "hidden": 1200})
        '1,200 hidden, 3 .txt'
    """
    most = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{count:,} {kind}" for kind, count in most[:_SHOWN]]
    rest = sum(count for _, count in most[_SHOWN:])
    return ", ".join([*words, f"{rest:,} of other kinds"] if rest else words)


def _read_type(entry: os.DirEntry[str]) -> int | None:
    """Reads the file type at the end of an entry's links; None for a broken link."""
    try:
        return stat.S_IFMT(entry.stat().st_mode)
    except OSError:
        return None


def _identify(path: Path | os.DirEntry[str]) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
