"""Names of methods: compared, suggested and listed."""

from __future__ import annotations

import ast
import difflib
import functools
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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


class MethodConstants(NamedTuple):
    """The literal values in the source of a method's class: defaults of its options, and its class constants.

    Example:
        >>> MethodConstants({"width": 16}, {"pattern": "mlp"}).options
        {'width': 16}
    """

    options: dict[str, Any]
    constants: dict[str, Any]


def read_method_constants(folder: str) -> dict[str, MethodConstants]:
    """Read the literal values of the methods in a folder of this package, by file name, without importing anything.

    Args:
        folder: A folder with one registered method per file: ``"models"``.

    Example:
        >>> read_method_constants("models")["cifar_resnet"].options
        {'width': 16}
    """
    files = sorted((_PACKAGE / folder).glob("[!_]*.py"))
    return {file.stem: method for file in files for method in _read_method(file)}


def _read_method(file: Path) -> Iterator[MethodConstants]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(".register" in ast.unparse(mark) for mark in node.decorator_list):
            method = MethodConstants({}, {})
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.value, ast.Constant):
                    values = method.constants if "ClassVar" in ast.unparse(field.annotation) else method.options
                    values[ast.unparse(field.target)] = field.value.value
            yield method


@functools.cache
def read_titles(folder: str) -> Mapping[str, str]:
    """Read how the methods in a folder are called in figures and tables: their class constants ``title``.

    A method without one is called by its name. A title may have options of a model's name in it: ``ResNet-{depth}``.

    Args:
        folder: A folder with one registered method per file: ``"allocation"``.

    Example:
        >>> read_titles("allocation")["erk_plus"], read_titles("topology")["rigl"], read_titles("data")["digits"]
        ('ERK+', 'RigL', 'digits')
    """
    methods = read_method_constants(folder)
    return {name: method.constants.get("title", name.replace("_", " ")) for name, method in methods.items()}


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
    forms = [re.search(r'^    form: ClassVar\[str\] = "(.*)"$', text, re.M) for text in names.values()]
    known = {form[1] if form else name for name, form in zip(names, forms, strict=True)} - {""}  # nobody writes it
    groups = (re.search(rf'^{variable}\b.*Registry.*\("[\w -]+", "(\w+)"\)$', text, re.M) for text in texts)
    group = f"rarefy.{next(match[1] for match in groups if match)}"
    return sorted(known | set(find_entry_points(group)) | get_loaded_names(group))
