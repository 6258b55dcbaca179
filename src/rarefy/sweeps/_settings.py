"""What one point of a sweep sets: names as a person writes them -> a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pydantic
import yaml

from rarefy.config import Choice, Config, assignment, from_flags, setting_name
from rarefy.flags import FLAGS
from rarefy.registry import key
from rarefy.sweeps._sweep import SweepError

Point = dict[str, Any]
_FLAGS = {flag.name: flag for flag in FLAGS}
_DEFAULTS = Config()


def point_of(values: Mapping[Any, Any], where: str) -> Point:
    """The settings of a mapping by canonical name; nested ones (``training: {lr: 0.1}``) become dotted.

    Raises:
        UnknownName: If one is neither a flag nor a place in the config.
        SweepError: If a name is no text, or a switch is neither true nor false.
    """
    point: Point = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise SweepError(f"A setting's name is text, but {name!r} came in {where}. Write `seed: 1`.")
        for place, inner in _flat(setting_name(name), value):
            if place in _FLAGS and _FLAGS[place].kind is bool and not isinstance(inner, bool):
                raise SweepError(f"{where}.{place} is {inner!r}; it is true or false.")
            point[place] = inner
    return point


def setting_of(assignments: Sequence[str]) -> Point:
    """The settings of ``name=value`` texts."""
    point: Point = {}
    for text in assignments:
        name, value = assignment(text)
        point = over(point, point_of({name: value}, "--set"))
    return point


def over(below: Point, above: Point) -> Point:
    """Settings laid over others, whichever of its names each setting has."""
    taken = {place_of(name, value) for name, value in above.items()}
    return {name: value for name, value in below.items() if place_of(name, value) not in taken} | above


def place_of(name: str, value: Any) -> str:
    """The place in the config that a setting is about; its own name where there is none."""
    flag = _FLAGS.get(name)
    return flag.place if flag and flag.place and value is not False else name


def config_of(point: Point, notice: Callable[[str], None]) -> Config:
    """The config; flags mean what they mean to `rarefy train`, dotted places go over them."""
    flags = {name: value for name, value in point.items() if name in _FLAGS}
    placed = sorted((name for name in point if name not in _FLAGS), key=lambda name: not name.endswith(".name"))
    return from_flags(flags, assignments=[f"{name}={_text(point[name])}" for name in placed], notice=notice)


def excluded(point: Point, config: Config, exclusion: Point) -> bool:
    """Whether a point has every value of an exclusion, set by the file or by default."""
    own = {place_of(name, value): value for name, value in point.items()}
    places = {place_of(name, value): value for name, value in exclusion.items()}
    return all(_same(own.get(place, _held(config, place)), value) for place, value in places.items())


def shown(name: str, point: Point, config: Config) -> Any:
    """A setting as the run has it, resolved where the config holds it; None where its method has no such option."""
    flag = _FLAGS.get(name)
    if flag and (flag.kind is bool or not flag.place):
        return point.get(name, False)
    value = _held(config, flag.place if flag else name, None)
    return value.name if isinstance(value, Choice) else value


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    flag = _FLAGS.get(name)
    head = flag.place.removesuffix(".name") if flag else name
    if not isinstance(value, dict) or not isinstance(_held(_DEFAULTS, head), pydantic.BaseModel):
        return [(name, value)]
    return [pair for inner, below in value.items() for pair in _flat(f"{head}.{inner}", below)]


def _held(config: Config, place: str, otherwise: Any = False) -> Any:
    """The config's value at a place, or `otherwise`."""
    value: Any = config
    for part in place.split("."):
        value = getattr(value, part, otherwise)
    return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return key(one) == key(other)
    return bool(one == other) or str(one) == str(other)


def _text(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True))
