"""Globs over names of weights."""

from __future__ import annotations

import fnmatch


def matches_glob(name: str, glob: str) -> bool:
    """Whether a glob matches the name of a weight, with or without its ``.weight``.

    Example:
        >>> matches_glob("layer1.0.conv1.weight", "*.conv1"), matches_glob("fc.weight", "layer1.*")
        (True, False)
    """
    return any(fnmatch.fnmatchcase(text, glob) for text in (name, name.removesuffix(".weight")))
