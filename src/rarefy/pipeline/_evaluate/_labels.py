"""What a record calls sources of out-of-distribution images that are paths."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rarefy.evaluation.ood import OOD_SOURCES
from rarefy.registry import key


def label_sources(sources: Sequence[str]) -> dict[str, str]:
    """Names sources in a way that does not tell where on this machine they lie.

    An absolute path is named from the working folder where it lies below it, else by as many of its last parts as tell
    it from the others; every other source is its own name.

    Args:
        sources: Names and paths, as `rarefy.evaluation.ood.load_ood` takes them.

    Returns:
        Label to source, in their order.

    Example:
        >>> label_sources(["cifar100", "/scratch/me/textures", "/other/textures"])
        {'cifar100': 'cifar100', 'textures': '/scratch/me/textures', 'other/textures': '/other/textures'}
    """
    labels: dict[str, str] = {}
    for source in sources:
        labels[_label(source, labels)] = source
    return labels


def place_of(source: str) -> dict[str, str]:
    """An option of a source that is a path: a digest of where it lies, so that another folder is not taken for it."""
    if "/" not in source and ".npz" not in source:
        return {}
    return {"place": hashlib.sha256(str(Path(source).absolute()).encode()).hexdigest()[:16]}


def _label(source: str, taken: Mapping[str, str]) -> str:
    path = Path(source)
    if not path.is_absolute():
        return source
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    known = {*taken, *OOD_SOURCES}
    names = ("/".join(path.parts[-count:]) for count in range(1, len(path.parts)))
    return next((name for name in names if name not in known and key(name) not in known), source)
