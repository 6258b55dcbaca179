"""Files of compiled kernels in the project's folder for caches: whole, of these very sources, and written by us."""

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
_ENGINE = "rarefy.engines._cpu"  # whatever of it decides about the machine code is below this package
_CHECKSUM = 32  # bytes of SHA-256 before the content
_KEPT = 4  # folders of other sources, versions or processors that are left where they are


def read_entry(machine: Sequence[str], name: str) -> bytes | None:
    """Reads what was compiled before; None where there is nothing, or nothing that can be trusted.

    Machine code is run as it is, so its folder has to belong to this user or to root and be closed to others' writing,
    and the content has to fit its checksum.

    Args:
        machine: What the code was compiled for: the processor and its features.
        name: The entry's name, any text.

    Returns:
        The content that `write_entry` was given.
    """
    try:
        path = _entry(machine, name)
        if not _is_trusted(path.parent):
            return None
        checksum, content = _split(path.read_bytes())
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == checksum else None


def write_entry(machine: Sequence[str], name: str, content: bytes) -> None:
    """Writes what was compiled; where it cannot be written this is said once, and no reason to stop.

    Processes may write the same entry at the same time: each writes a file of its own and renames it. The first entry
    of a folder takes the place of old folders.

    Args:
        machine: As in `read_entry`.
        name: As in `read_entry`.
        content: The machine code.
    """
    try:
        path = _entry(machine, name)
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            remove_old_folders(path.parent.parent, beside=path.parent)
        if not _is_trusted(path.parent):
            raise PermissionError(f"{path.parent} belongs to somebody else, or everybody can write into it")
        with replace_file(path) as partial:
            partial.write_bytes(hashlib.sha256(content).digest() + content)
    except OSError as error:
        _tell_once(str(error))


def remove_old_folders(root: Path, *, beside: Path) -> None:
    """Removes folders of compiled kernels, all but `beside` and the few that were written last.

    Args:
        root: Where such folders are.
        beside: The one in use.
    """
    others = [folder for folder in root.iterdir() if re.fullmatch("[0-9a-f]{16}", folder.name) and folder != beside]
    for folder in sorted(others, key=_written_at, reverse=True)[_KEPT:]:
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
    return hash_sources(resources.files(_ENGINE))


def _entry(machine: Sequence[str], name: str) -> Path:
    versions = [f"{package} {metadata.version(package)}" for package in ("numba", "llvmlite")]
    settings = sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("NUMBA_"))
    known = [_hash_engine(), str(sys.implementation.cache_tag), *versions, *settings, *machine]
    return get_cache_folder() / "kernels" / _shortened("\n".join(known)) / f"{_shortened(name)}.bin"


def _shortened(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _split(content: bytes) -> tuple[bytes, bytes]:
    return content[:_CHECKSUM], content[_CHECKSUM:]


def _is_trusted(folder: Path) -> bool:
    status = folder.stat()
    own = not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid())  # Windows keeps caches in the user's folder
    return own and not (os.name == "posix" and status.st_mode & stat.S_IWOTH)


def _written_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # another process removes it, too
        return 0.0


@functools.cache
def _tell_once(reason: str) -> None:
    _LOG.warning(
        "The compiled kernels cannot be kept (%s): every process compiles them again, for tens of seconds. Set "
        "RAREFY_CACHE to a folder that can be written to.",
        reason,
        extra={"noted": False},  # of this machine, and so no part of a run's record
    )
