"""Labels sources of out-of-distribution images, so that records hold no absolute paths."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rarefy.evaluation.ood import OOD_SOURCES
from rarefy.registry import normalize_name


def label_sources(sources: Sequence[str]) -> dict[str, str]:
    """Labels sources without revealing where on this machine they are.

    An absolute path becomes relative if it is below the working folder; otherwise only as many of its last parts are
    kept as make it unique. Other sources are their own labels.

    Args:
        sources: Names and paths, as `rarefy.evaluation.ood.load_ood` takes them.

    Returns:
        Label to source, in the given order.

    Example:
        >>> label_sources(["cifar100", "/scratch/me/textures", "/other/textures"])
        {'cifar100': 'cifar100', 'textures': '/scratch/me/textures', 'other/textures': '/other/textures'}
    """
    labels: dict[str, str] = {}
    for source in sources:
        labels[_label(source, labels)] = source
    return labels


def digest_path(source: str) -> dict[str, str]:
    """Hashes the absolute path of a source, so that another folder of the same label is not mistaken for it."""
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
    return next((name for name in names if name not in known and normalize_name(name) not in known), source)
