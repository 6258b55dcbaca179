"""Reads and writes machine code in the project's cache folder: complete, of these sources, and written by this user."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from rarefy.paths import get_cache_folder, replace_file

_LOG = logging.getLogger("rarefy")
_PACKAGE = "rarefy.engines._cpu"  # all sources that decide about the machine code are below this package
_CHECKSUM = 32  # bytes of SHA-256 before the content
_MAX_OLD_FOLDERS = 4  # folders of other sources, versions or processors that stay


def read_entry(machine: Sequence[str], name: str) -> bytes | None:
    """Reads machine code that was compiled before; None where there is none that can be trusted.

    Machine code is not checked before it runs. So its folder must belong to this user or to root, others must not be
    able to write into it, and the content must fit its checksum.

    Args:
        machine: Processor and features that the code was compiled for.
        name: The entry's name, any text.

    Returns:
        The content that `write_entry` was given.
    """
    try:
        path = _entry(machine, name)
        if not _is_trusted(path.parent):
            return None
        checksum, content = _split_checksum(path.read_bytes())
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == checksum else None


def write_entry(machine: Sequence[str], name: str, content: bytes) -> None:
    """Writes machine code; where that fails, one warning is logged.

    Processes may write the same entry at the same time: each writes a temporary file and renames it. The first entry
    of a new folder removes old folders.

    Args:
        machine: As in `read_entry`.
        name: As in `read_entry`.
        content: The machine code.
    """
    try:
        path = _entry(machine, name)
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            remove_old_folders(path.parent.parent, current=path.parent)
        if not _is_trusted(path.parent):
            raise PermissionError(f"{path.parent} belongs to another user, or everybody can write into it")
        with replace_file(path) as partial:
            partial.write_bytes(hashlib.sha256(content).digest() + content)
    except OSError as error:
        _warn_once(str(error))


def remove_old_folders(root: Path, *, current: Path) -> None:
    """Removes folders of machine code except `current` and the few that were written last.

    Args:
        root: The folder that contains them.
        current: The folder in use.
    """
    others = [folder for folder in root.iterdir() if re.fullmatch("[0-9a-f]{16}", folder.name) and folder != current]
    for folder in sorted(others, key=_get_modified_time, reverse=True)[_MAX_OLD_FOLDERS:]:
        shutil.rmtree(folder, ignore_errors=True)


def hash_sources(package: Traversable) -> str:
    """Hashes every Python file of a package and of those below it: names and contents.

    Args:
        package: The package's folder.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, content in _sources(package):
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _sources(package: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    for file in sorted(package.iterdir(), key=lambda file: file.name):
        if file.is_dir():
            yield from _sources(file, f"{above}{file.name}/")
        elif file.name.endswith(".py"):
            yield above + file.name, file.read_bytes()


@functools.cache
def _hash_engine() -> str:
    return hash_sources(resources.files(_PACKAGE))


def _entry(machine: Sequence[str], name: str) -> Path:
    versions = [f"{package} {metadata.version(package)}" for package in ("numba", "llvmlite")]
    settings = sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("NUMBA_"))
    inputs = [_hash_engine(), str(sys.implementation.cache_tag), *versions, *settings, *machine]
    return get_cache_folder() / "kernels" / _shorten("\n".join(inputs)) / f"{_shorten(name)}.bin"


def _shorten(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _split_checksum(content: bytes) -> tuple[bytes, bytes]:
    return content[:_CHECKSUM], content[_CHECKSUM:]


def _is_trusted(folder: Path) -> bool:
    status = folder.stat()
    own = not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid())  # Windows keeps caches in the user's folder
    return own and not (os.name == "posix" and status.st_mode & stat.S_IWOTH)


def _get_modified_time(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # another process has removed it
        return 0.0


@functools.cache
def _warn_once(reason: str) -> None:
    _LOG.warning(
        "The compiled kernels cannot be kept (%s): every process compiles them again, for tens of seconds. Set "
        "RAREFY_CACHE to a folder that can be written to.",
        reason,
        extra={"noted": False},  # about this machine, and so not part of a run's record
    )
