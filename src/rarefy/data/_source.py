"""Official files: found where people unpack them, and checked before a byte of them is parsed."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

from rarefy.data._errors import CorruptData, MissingData
from rarefy.data._files import open_file

_LARGEST = 1 << 28  # bytes; the largest official file is SVHN's, of 182 million


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the official files of a data set are, and what they hash to.

    Args:
        title: What people call the data set.
        download: What to download.
        folders: Folders to look in, below the data directory, in this order.
        md5: File name to the md5 of its content. A file may also be there as ``<name>.gz``; the md5 is that of the
            content, so that it holds for every compressor.
    """

    title: str
    download: str
    folders: tuple[str, ...]
    md5: Mapping[str, str]

    def find(self, directory: Path) -> Path:
        """The first folder that holds all files; raises MissingData if none does."""
        places = [(directory / folder).absolute() for folder in self.folders]
        for place in places:
            if not self._missing(place):
                return place
        looked = "; ".join(f"{place} ({self._state(place)})" for place in places)
        raise MissingData(
            f"{self.title} was not found. Looked in: {looked}. "
            f"Download {self.download}, so that DIR/{self.folders[0]} holds its files, and pass --data-dir DIR."
        )

    def read(self, folder: Path, name: str) -> bytes:
        """The content of one file; raises CorruptData, naming it, if it is not the official content."""
        path = _present(folder, name)
        try:
            with open_file(path) as file, gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file as stream:
                content = stream.read(_LARGEST + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CorruptData(
                f"{path} is corrupted: it does not unpack ({error}). {self._again()}", path=path
            ) from error
        if len(content) > _LARGEST:
            raise CorruptData(f"{path} is corrupted: it holds more than {_LARGEST:,} bytes. {self._again()}", path=path)
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != self.md5[name]:
            raise CorruptData(
                f"{path} is corrupted: the md5 of its content is {found}, the official one is {self.md5[name]}. "
                f"{self._again()}",
                path=path,
            )
        return content

    def _again(self) -> str:
        return f"Download {self.download} again."

    def _missing(self, place: Path) -> list[str]:
        return [name for name in self.md5 if not _present(place, name).is_file()]

    def _state(self, place: Path) -> str:
        return f"without {', '.join(self._missing(place))}" if place.is_dir() else "no such folder"


def _present(folder: Path, name: str) -> Path:
    """The file itself, or its compressed form where only that is there."""
    plain = folder / name
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() and not plain.is_file() else plain
