"""Safe reading of files that people name: regular files only, up to a size, with printable paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from rarefy.data._errors import CorruptData, MissingData

_LONGEST = 500  # letters of a path that are shown


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file for reading; a pipe would block, and a device may have no end.

    Raises:
        MissingData: If it is not there.
        CorruptData: If it is a pipe, a device, a socket or a folder, or may not be read.

    Example:
        >>> open_file(Path("/dev/zero"))
        Traceback (most recent call last):
        ...
        rarefy.data._errors.CorruptData: /dev/zero is a device, not a file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        kind, why = MissingData if isinstance(error, FileNotFoundError) else CorruptData, os.strerror(error.errno or 0)
        raise kind(f"{show_path(path)} cannot be read: {why}.", path=path, why=why) from error
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            why = f"is {_name_kind(mode)}, not a file"
            raise CorruptData(f"{show_path(path)} {why}.", path=path, why=f"it {why}")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: Path, limit: int) -> bytes:
    """Reads a regular file; raises CorruptData for one of more than `limit` bytes, and as `open_file` does."""
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise CorruptData(f"{show_path(path)} is larger than {limit:,} bytes, which no such file is.", path=path)
    return content


def show_path(path: Path | str) -> str:
    r"""Formats a path for printing: bytes that are not UTF-8, and control characters, become escapes.

    Example:
        >>> show_path(os.fsdecode(b"train/\xff.png"))
        'train/\\xff.png'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _name_kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
