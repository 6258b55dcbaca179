"""What is said of data that cannot be used."""

from __future__ import annotations

from pathlib import Path

from rarefy.errors import RarefyError


class MissingData(RarefyError, FileNotFoundError):
    """A data set is not there; the message says where it was looked for and what to download.

    Attributes:
        path: The file, where it is one.
        why: The reason without the name.
    """

    path: Path | None = None
    why: str = ""


class CorruptData(RarefyError, ValueError):
    """A file is not what it should be; the message names it and how that was seen.

    Attributes:
        path: The file or folder, where it is one.
        why: The reason without the name, where it stands alone.
    """

    path: Path | None = None
    why: str = ""


class BadPicture(RarefyError, ValueError):
    """Bytes that no picture can be made of; the message says why."""
