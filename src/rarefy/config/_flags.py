"""Flags, a file and assignments -> one config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rarefy.config._model import Config, ConfigError, read
from rarefy.flags import FLAGS
from rarefy.registry import key, unknown

Values = dict[str, Any]


_SPARSE_ONLY = ("density", "allocation", "topology", "scaled")


def from_flags(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    notice: Callable[[str], None] = lambda text: None,
) -> Config:
    """Builds the config from, in this order: defaults, a YAML file, flags, ``a.b=c`` assignments.

    Without ``sparse`` (and without a file that says otherwise) training is dense: allocation ``dense``, density 1,
    topology ``static``. With ``sparse`` and without ``fix`` the topology moves (``set``).

    Args:
        flags: Flag name (``sparse_init``) or dotted place (``training.lr``) -> value; None and False are "not given".
        file: YAML file of settings.
        assignments: ``place=value`` texts; the value is read as YAML.
        notice: Called with a line for every flag that was given and has no effect.

    Raises:
        ConfigError: If a value is not allowed; UnknownName: if there is no such flag.

    Example:
        >>> from_flags({"sparse": True, "fix": True, "sparse_init": "ERK", "density": 0.1}).density
        0.1
        >>> from_flags({}).allocation.name
        'dense'
    """
    given = {_known(name): value for name, value in flags.items() if value is not None and value is not False}
    values: Values = Config().model_dump()
    for place, value in (read(file) if file else _sparsity_asked(given, notice)).items():
        _put(values, place, value)
    if file and "sparse" in given:
        _put(values, "topology", _topology_asked(given, notice))
    for flag in FLAGS:
        if flag.name in given and flag.place:
            _put(values, flag.place, flag.value if flag.kind is bool else given[flag.name])
    flag_names = {flag.name for flag in FLAGS}
    for place, value in given.items():
        if place not in flag_names:
            _put(values, place, value)
    for text in assignments:
        _put(values, *_assignment(text))
    if "multiplier" in given:
        _put(values, "training.epochs", int(given["multiplier"]) * int(values["training"]["epochs"]))
    return _dense_is_static(Config.from_values(values))


def _known(name: str) -> str:
    """The canonical name of a flag, or a place in the config as it is."""
    spellings = {key(spelling.lstrip("-")): flag.name for flag in FLAGS for spelling in flag.names}
    if key(name) in spellings:
        return spellings[key(name)]
    if name.split(".")[0] in Config.model_fields:
        return name
    raise unknown("flag or setting", name, [*(flag.name for flag in FLAGS), *Config.model_fields])


def _sparsity_asked(given: Values, notice: Callable[[str], None]) -> Values:
    """What ``--sparse`` and ``--fix`` mean; a flag that only sparse training reads is said to be without effect."""
    if "sparse" in given:
        return {"topology": _topology_asked(given, notice)}
    for flag in FLAGS:
        if flag.name in given and (flag.place.split(".")[0] in _SPARSE_ONLY or flag.name == "fix"):
            notice(f"{flag.names[0]} has no effect: training is dense without --sparse")
            given.pop(flag.name)
    return {"allocation": "dense", "density": 1.0, "topology": "static"}


def _topology_asked(given: Values, notice: Callable[[str], None]) -> str:
    """``--fix`` is static; a rule named by itself (``--growth``) makes a free composition; the default is SET."""
    rules = [flag for flag in FLAGS if flag.name in given and flag.place.startswith("topology.")]
    if "fix" in given:
        for flag in rules:
            notice(f"{flag.names[0]} has no effect: --fix keeps the topology static")
            given.pop(flag.name)
        return "static"
    return "dynamic" if rules and "topology" not in given else "set"


def _put(values: Values, place: str, value: Any) -> None:
    """Sets a dotted place in nested values; a method's new name drops the old method's options."""
    head, _, rest = place.partition(".")
    inner = values.get(head)
    if rest:
        if not isinstance(inner, dict):
            raise ConfigError(f"There is no setting {place!r}: {head!r} holds {inner!r}, nothing is below it.")
        _put(inner, rest, value)
    elif isinstance(inner, dict) and isinstance(value, dict):
        if "name" in value:
            inner.clear()
        for name, item in value.items():
            _put(inner, name, item)
    elif isinstance(inner, dict) and "name" in inner:
        values[head] = {"name": value}
    elif head == "name" and values.get("name") != value:
        values.clear()
        values["name"] = value
    else:
        values[head] = value


def _assignment(text: str) -> tuple[str, Any]:
    place, equals, value = text.partition("=")
    if not equals or not place.strip():
        raise ConfigError(
            f"--set {text!r} is not an assignment. Write a setting, '=' and its value: --set training.lr=0.05"
        )
    return place.strip(), yaml.safe_load(value)


def _dense_is_static(config: Config) -> Config:
    """Dense is one thing, whatever density was asked for beside it: sweeps over densities share one dense run."""
    if key(config.allocation.name) != "dense":
        return config
    return Config.from_values({**config.model_dump(), "density": 1.0, "topology": {"name": "static"}, "scaled": False})
