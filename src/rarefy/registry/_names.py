"""Names of methods: compared, suggested and listed."""

from __future__ import annotations

import difflib
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path

from rarefy.errors import UnknownName
from rarefy.registry._plugins import find_entry_points, get_loaded_names

_PACKAGE = Path(__file__).parents[1]


def normalize_name(name: str) -> str:
    """The form in which names are compared: without case, ``-`` and ``_``.

    Example:
        >>> normalize_name("ERK_plus") == normalize_name("erk-plus")
        True
    """
    return name.lower().replace("-", "").replace("_", "")


def make_unknown_error(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name nobody knows, with the nearest known one.

    Example:
        >>> str(make_unknown_error("allocation", "erkk", ["er", "erk"]))
        "Unknown allocation 'erkk'. Did you mean 'erk'? Known: er, erk."
    """
    by_key = {normalize_name(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(normalize_name(name), list(by_key), n=1)
    hint = f" Did you mean {by_key[near[0]]!r}?" if near else ""
    names = tuple(sorted(by_key.values()))
    return UnknownName(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.", kind=kind, name=name, known=names)


def list_file_names(folder: str) -> list[str]:
    """List the names of the methods, or of the YAML files, in a folder of this package without importing anything.

    Example:
        >>> "erk" in list_file_names("allocation")
        True
    """
    path = _PACKAGE / folder
    modules = (module.name for module in pkgutil.iter_modules([str(path)]) if not module.name.startswith("_"))
    return sorted([*modules, *(file.stem for file in path.glob("*.yaml"))])


def read_names(registry: str) -> list[str]:
    """List the names in a registry for ``--help``, which must not import torch: from source text and entry points.

    A model's name contains its options, so that its form is listed: ``mlp_<width>[_<width>...]``.

    Args:
        registry: Where the registry is: ``"allocation.ALLOCATIONS"``.

    Example:
        >>> read_names("topology._drops.DROPS")
        ['magnitude', 'mest', 'set', 'taylor', 'threshold']
    """
    package, _, variable = registry.rpartition(".")
    files = sorted((_PACKAGE / package.replace(".", "/")).glob("*.py"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    names = {name: text for text in texts for name in re.findall(rf'^@{variable}\.register\("(\w+)"\)', text, re.M)}
    forms = [re.search(r'^    form: ClassVar\[str\] = "(.+)"$', text, re.M) for text in names.values()]
    known = {form[1] if form else name for name, form in zip(names, forms, strict=True)}
    groups = (re.search(rf'^{variable}\b.*Registry.*\("[\w -]+", "(\w+)"\)$', text, re.M) for text in texts)
    group = f"rarefy.{next(match[1] for match in groups if match)}"
    return sorted(known | set(find_entry_points(group)) | get_loaded_names(group))
