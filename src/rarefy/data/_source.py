"""Official files: found in the usual folders, and checked by md5 before parsing."""

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
    """The official files of a data set: where to look for them, and their md5.

    Args:
        title: Common name of the data set.
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
        """Finds the first folder that holds all files; raises MissingData if none does."""
        folders = [(directory / folder).absolute() for folder in self.folders]
        for path in folders:
            if not self._list_missing(path):
                return path
        looked = "; ".join(f"{path} ({self._describe_state(path)})" for path in folders)
        raise MissingData(
            f"{self.title} was not found. Looked in: {looked}. "
            f"Download {self.download}, so that DIR/{self.folders[0]} holds its files, and pass --data-dir DIR."
        )

    def read(self, folder: Path, name: str) -> bytes:
        """Reads one file; raises CorruptData, naming it, if its content is not the official one."""
        path = _locate(folder, name)
        try:
            with open_file(path) as file, gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file as stream:
                content = stream.read(_LARGEST + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CorruptData(
                f"{path} is corrupted: it does not unpack ({error}). {self._hint()}", path=path
            ) from error
        if len(content) > _LARGEST:
            raise CorruptData(f"{path} is corrupted: it holds more than {_LARGEST:,} bytes. {self._hint()}", path=path)
        actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if actual != self.md5[name]:
            raise CorruptData(
                f"{path} is corrupted: the md5 of its content is {actual}, the official one is {self.md5[name]}. "
                f"{self._hint()}",
                path=path,
            )
        return content

    def _hint(self) -> str:
        return f"Download {self.download} again."

    def _list_missing(self, path: Path) -> list[str]:
        return [name for name in self.md5 if not _locate(path, name).is_file()]

    def _describe_state(self, path: Path) -> str:
        return f"without {', '.join(self._list_missing(path))}" if path.is_dir() else "no such folder"


def _locate(folder: Path, name: str) -> Path:
    """Locates the file, or its compressed form if only that is there."""
    plain = folder / name
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() and not plain.is_file() else plain
