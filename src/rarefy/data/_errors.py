"""Errors about data that cannot be used."""

from __future__ import annotations

from pathlib import Path

from rarefy.errors import RarefyError


class MissingData(RarefyError, FileNotFoundError):
    """A missing data set; the message says where it was looked for and what to download.

    Attributes:
        path: The file, where it is one.
        why: The reason without the name.
    """

    path: Path | None = None
    why: str = ""


class CorruptData(RarefyError, ValueError):
    """A damaged file or one of another kind; the message names it and the fault.

    Attributes:
        path: The file or folder, where it is one.
        why: The reason without the name, where it stands alone.
    """

    path: Path | None = None
    why: str = ""


class BadPicture(RarefyError, ValueError):
    """Bytes that cannot be decoded to a picture; the message says why."""
