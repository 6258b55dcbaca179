"""Lookup of networks in other packages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from rarefy.installation import import_extra
from rarefy.registry import UnknownName, normalize_name


def import_package(name: str) -> Any:
    """Imports a package of networks; raises MissingPackage that says how to install it."""
    return import_extra(name, "vision", needed_by=f"A model of {name}")


def match_architecture(zoo: str, name: str, known: Sequence[str]) -> str:
    """Finds the package's own spelling of a network's name; raises UnknownName with the nearest names.

    Example:
        >>> match_architecture("timm", "ResNet-18", ["resnet18", "vit_tiny"])
        'resnet18'
    """
    by_key = {normalize_name(candidate): candidate for candidate in known}
    if normalize_name(name) in by_key:
        return by_key[normalize_name(name)]
    near = [by_key[match] for match in difflib.get_close_matches(normalize_name(name), list(by_key), n=3)]
    hint = f"nearest: {', '.join(f'{zoo}/{name}' for name in near)}" if near else f"such as {zoo}/{known[0]}"
    raise UnknownName(f"{zoo} has no {name!r} among its {len(known)} networks; {hint}")
