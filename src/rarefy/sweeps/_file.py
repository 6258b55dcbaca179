"""A sweep file -> the runs it asks for."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.config import Config, read
from rarefy.pipeline import ResolvedConfig, resolve
from rarefy.registry import unknown
from rarefy.sweeps._settings import Point, config_of, excluded, over, point_of, setting_of, shown
from rarefy.sweeps._sweep import SweepError

_LAID_OVER = ("about", "base", "grid", "evaluate")  # by a scale, key by key; of the other parts it takes the place
_PARTS = (*_LAID_OVER, "list", "exclude")


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Args:
        id: The run's id.
        config: Every resolved value.
        settings: Those in which the sweep's runs differ, by the names that the file uses.

    Example:
        >>> SweepRun("3f2a9c1b77de", Config(), {"density": 0.1, "seed": 1}).label
        'density=0.1 seed=1'
    """

    id: str
    config: Config
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """What tells it from the sweep's others."""
        return " ".join(f"{name}={value}" for name, value in self.settings.items())


def scales(path: Path) -> list[str]:
    """Names of the scales a sweep file can be run at, the file's order; raises SweepError if it cannot be read.

    Example:
        >>> scales(Path("nowhere.yaml"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.sweeps._sweep.SweepError: There is no sweep file nowhere.yaml. ...
    """
    return [str(name) for name in _mapping(_read(path).get("scales"), "scales")]


def about(path: Path, scale: str | None = None) -> dict[str, Any]:
    """What a sweep file says of itself to its readers, a scale's words over the file's.

    Args:
        path: The YAML file.
        scale: One of its scales.

    Raises:
        SweepError: If the file is no sweep, or has scales and none is chosen.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sweep.yaml"
        >>> _ = file.write_text("{about: {title: Two seeds, cost: a minute}, grid: {seed: [1, 2]}}")
        >>> about(file)
        {'title': 'Two seeds', 'cost': 'a minute'}
    """
    return _part(_scaled(path, scale), "about")


def evaluation(path: Path, scale: str | None = None) -> dict[str, Any]:
    """The flags of `rarefy eval` that a sweep file has for its finished runs; empty: it wants no evaluation.

    Args:
        path: The YAML file.
        scale: One of its scales.

    Raises:
        SweepError: If the file is no sweep, or has scales and none is chosen.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sweep.yaml"
        >>> _ = file.write_text("{grid: {seed: [1, 2]}, evaluate: {calibration: true}}")
        >>> evaluation(file)
        {'calibration': True}
    """
    return _part(_scaled(path, scale), "evaluate")


def read_sweep(
    path: Path,
    *,
    scale: str | None = None,
    assignments: Sequence[str] = (),
    is_remote: bool = False,
    notice: Callable[[str], None] = lambda text: None,
) -> list[SweepRun]:
    """Reads a sweep file: ``base`` under every point of ``grid`` and every entry of ``list``, less ``exclude``.

    Keys are names of flags (``sparse_init``) or dotted places in the config (``training.lr``). Every method is built,
    so that a typo anywhere fails before anything is trained. Settings that mean the same run give it once.

    Args:
        path: The YAML file.
        scale: Which of the file's ``scales`` to lay over it; a file that has scales wants one.
        assignments: ``name=value`` texts that go over everything.
        is_remote: Whether the runs may compute on a machine with a GPU that this one has not.
        notice: Called once with each line about a setting that has no effect.

    Raises:
        SweepError: If the file is no sweep.
        ValueError: If a setting is unknown (the nearest known one is named) or its value is not allowed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sweep.yaml"
        >>> _ = file.write_text("{base: {sparse: true, fix: true}, grid: {density: [0.1, 0.5], seed: [1, 2]}}")
        >>> [run.label for run in read_sweep(file)]
        ['density=0.1 seed=1', 'density=0.1 seed=2', 'density=0.5 seed=1', 'density=0.5 seed=2']
    """
    parts = _scaled(path, scale)
    _part(parts, "about")
    if not any(parts.get(part) for part in ("base", "grid", "list")):
        raise SweepError(f"{path} asks for nothing: it has no base, no grid and no list. Write grid: {{seed: [1, 2]}}.")
    tell = _once(notice)
    exclusions = [point_of(entry, f"exclude[{i}]") for i, entry in enumerate(_listed(parts.get("exclude"), "exclude"))]
    last = setting_of(assignments)
    found: dict[str, tuple[Point, ResolvedConfig]] = {}
    for point in (over(point, last) for point in _points(parts)):
        config = config_of(point, tell)
        if not any(excluded(point, config, exclusion) for exclusion in exclusions):
            plan = _resolved(config, is_remote=is_remote)
            found.setdefault(plan.id, (point, plan))
    if not found:
        raise SweepError(f"{path} asks for no run: exclude leaves none of its points. Take something out of exclude.")
    return _labelled(found)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SweepError(
            f"There is no sweep file {path}. Write one: {{base: {{sparse: true}}, grid: {{seed: [1, 2]}}}}."
        )
    values = read(path)
    for part in values:
        if part not in (*_PARTS, "scales"):
            raise unknown("part of a sweep file", str(part), [*_PARTS, "scales"])
    return values


def _scaled(path: Path, scale: str | None) -> dict[str, Any]:
    """The file's parts with a scale's laid over them: base and grid key by key, the others whole."""
    values = _read(path)
    known = _mapping(values.pop("scales", None), "scales")
    if scale is None:
        if known:
            raise SweepError(f"{path} has scales; choose one: --scale {' or --scale '.join(map(str, known))}.")
        return values
    if not known:
        raise SweepError(f"{path} has no scales; leave --scale {scale} out.")
    if scale not in known:
        raise unknown("scale", scale, map(str, known))
    changes = _mapping(known[scale], f"scales.{scale}")
    for part, change in changes.items():
        if part not in _PARTS:
            raise unknown(f"part of scale {scale!r}", str(part), _PARTS)
        laid = part in _LAID_OVER
        values[part] = _part(values, part) | _part(changes, part, f"scales.{scale}.") if laid else change
    return values


def _part(values: Mapping[str, Any], part: str, above: str = "") -> dict[Any, Any]:
    """A part that is a mapping; a line about a sweep may stand for one."""
    value = values.get(part)
    return {"about": value} if part == "about" and isinstance(value, str) else _mapping(value, above + part)


def _points(parts: Mapping[str, Any]) -> Iterator[Point]:
    """What each run sets, in the file's order."""
    base = point_of(_mapping(parts.get("base"), "base"), "base")
    entries = _listed(parts.get("list"), "list")
    if parts.get("grid") or not entries:
        yield from (over(base, point) for point in _grid(parts.get("grid"), "grid"))
    for index, entry in enumerate(entries):
        where = f"list[{index}]"
        own = point_of({name: value for name, value in entry.items() if name != "grid"}, where)
        yield from (over(over(base, own), point) for point in _grid(entry.get("grid"), f"{where}.grid"))


_MOST = 10_000  # runs of a grid: each is checked before the first is trained


def _grid(axes: Any, where: str) -> Iterator[Point]:
    """Every combination, the last axis fastest."""
    axes = _mapping(axes, where)
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SweepError(f"{where}.{name} is {values!r}; an axis is a list of values, such as {name}: [1, 2].")
    count = math.prod(map(len, axes.values()))
    if count > _MOST:
        raise SweepError(f"{where} asks for {count} runs; at most {_MOST} are one sweep. Make several files of it.")
    for values in itertools.product(*axes.values()):
        point: Point = {}
        for name, value in zip(axes, values, strict=True):
            point = over(point, point_of({name: value}, where))
        yield point


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SweepError(f"{where} is {value!r}; it has to be a mapping, such as {where}: {{key: value}}.")
    return value


def _listed(value: Any, where: str) -> list[dict[Any, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise SweepError(f"{where} is {value!r}; it has to be a list of mappings: {where}: [{{seed: 1}}].")
    return [_mapping(entry, f"{where}[{index}]") for index, entry in enumerate(value)]


def _resolved(config: Config, *, is_remote: bool) -> ResolvedConfig:
    """The plan; a GPU that only the cluster has is taken on trust."""
    if not (is_remote and config.device.startswith("cuda")):
        return resolve(config)
    plan = resolve(config.model_copy(update={"device": "cpu"}))
    return dataclasses.replace(plan, config=plan.config.model_copy(update={"device": config.device}))


def _labelled(found: Mapping[str, tuple[Point, ResolvedConfig]]) -> list[SweepRun]:
    """The runs, each with the settings in which they differ."""
    names = dict.fromkeys(name for point, _ in found.values() for name in point)
    values = {name: [shown(name, point, plan.config) for point, plan in found.values()] for name in names}
    differing = [name for name in names if any(value != values[name][0] for value in values[name])]
    runs = []
    for index, (run, (_, plan)) in enumerate(found.items()):
        settings = {name: values[name][index] for name in differing if values[name][index] is not None}
        runs.append(SweepRun(run, plan.config, settings))
    return runs


def _once(notice: Callable[[str], None]) -> Callable[[str], None]:
    seen: set[str] = set()

    def tell(text: str) -> None:
        if text not in seen:
            seen.add(text)
            notice(text)

    return tell
