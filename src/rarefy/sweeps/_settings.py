"""Builds a config from the settings of one grid point, named as in the sweep file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pydantic
import yaml

from rarefy.config import Config, MethodConfig, build_config, find_setting, parse_assignment
from rarefy.flags import FLAGS
from rarefy.registry import normalize_name
from rarefy.sweeps._sweep import SweepError

Point = dict[str, Any]
_FLAGS = {flag.name: flag for flag in FLAGS}
_DEFAULTS = Config()


def parse_point(values: Mapping[Any, Any], where: str) -> Point:
    """Parses settings into canonical names; nested ones (``training: {lr: 0.1}``) become dotted.

    Raises:
        UnknownName: If a name is neither a flag nor a path in the config.
        SweepError: If a name is not text, or a switch is neither true nor false.
    """
    point: Point = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise SweepError(f"A setting's name is text, but {where} has {name!r}. Write `seed: 1`.")
        for path, inner in _flatten(find_setting(name), value):
            if path in _FLAGS and _FLAGS[path].kind is bool and not isinstance(inner, bool):
                raise SweepError(f"{where}.{path} is {inner!r}; it is true or false.")
            point[path] = inner
    return point


def parse_assignments(assignments: Sequence[str]) -> Point:
    """Parses ``name=value`` texts into settings; later ones override earlier ones."""
    point: Point = {}
    for text in assignments:
        name, value = parse_assignment(text)
        point = merge_points(point, parse_point({name: value}, "--set"))
    return point


def merge_points(below: Point, above: Point) -> Point:
    """Merges settings; `above` overrides `below`, also under another name of the same setting."""
    taken = {find_config_path(name, value) for name, value in above.items()}
    return {name: value for name, value in below.items() if find_config_path(name, value) not in taken} | above


def find_config_path(name: str, value: Any) -> str:
    """Returns the config path of a setting, or its own name if it has none."""
    flag = _FLAGS.get(name)
    return flag.config_path if flag and flag.config_path and value is not False else name


def build_point_config(point: Point, notice: Callable[[str], None]) -> Config:
    """Builds the config; flags mean what they mean to `rarefy train`, dotted paths override them."""
    flags = {name: value for name, value in point.items() if name in _FLAGS}
    paths = sorted((name for name in point if name not in _FLAGS), key=lambda name: not name.endswith(".name"))
    return build_config(flags, assignments=[f"{name}={_dump_value(point[name])}" for name in paths], notice=notice)


def is_excluded(point: Point, config: Config, exclusion: Point) -> bool:
    """Whether a point has every value of an exclusion, explicitly or by default."""
    own = {find_config_path(name, value): value for name, value in point.items()}
    excluded = {find_config_path(name, value): value for name, value in exclusion.items()}
    return all(_are_equal(own.get(path, _get_value(config, path)), value) for path, value in excluded.items())


def read_setting(name: str, point: Point, config: Config) -> Any:
    """Returns the resolved value of a setting; None if the run's method has no such option."""
    flag = _FLAGS.get(name)
    if flag and (flag.kind is bool or not flag.config_path):
        return point.get(name, False)
    value = _get_value(config, flag.config_path if flag else name, None)
    return value.name if isinstance(value, MethodConfig) else value


def _flatten(name: str, value: Any) -> list[tuple[str, Any]]:
    flag = _FLAGS.get(name)
    head = flag.config_path.removesuffix(".name") if flag else name
    if not isinstance(value, dict) or not isinstance(_get_value(_DEFAULTS, head), pydantic.BaseModel):
        return [(name, value)]
    return [pair for inner, below in value.items() for pair in _flatten(f"{head}.{inner}", below)]


def _get_value(config: Config, path: str, default: Any = False) -> Any:
    """Returns the config's value at a dotted path, or `default`."""
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part, default)
    return value


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return normalize_name(one) == normalize_name(other)
    return bool(one == other) or str(one) == str(other)


def _dump_value(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True))
