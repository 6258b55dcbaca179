"""Reads a sweep file into runs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.config import Config, read_settings
from rarefy.installation import find_shipped_file, list_shipped_files
from rarefy.pipeline import ResolvedConfig, resolve
from rarefy.registry import make_unknown_error
from rarefy.sweeps._settings import (
    Point,
    build_point_config,
    is_excluded,
    merge_points,
    parse_assignments,
    parse_point,
    read_setting,
)
from rarefy.sweeps._sweep import SweepError

_MERGED = ("about", "base", "grid", "evaluate")  # a scale updates these key by key and replaces the other parts
_PARTS = (*_MERGED, "list", "exclude")


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Args:
        id: The run's id.
        config: Every resolved value.
        settings: The settings that differ between the sweep's runs, under the names that the file uses.

    Example:
        >>> SweepRun("3f2a9c1b77de", Config(), {"density": 0.1, "seed": 1}).label
        'density=0.1 seed=1'
    """

    id: str
    config: Config
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """Settings that distinguish it from the other runs."""
        return " ".join(f"{name}={value}" for name, value in self.settings.items())


def read_scales(path: Path) -> list[str]:
    """Reads the names of a sweep file's scales, in the file's order; raises SweepError if there is no such file.

    Example:
        >>> read_scales(Path("nowhere.yaml"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.sweeps._sweep.SweepError: There is no sweep file nowhere.yaml. ...
    """
    return [str(name) for name in _check_mapping(_read(path).get("scales"), "scales")]


def read_about(path: Path, scale: str | None = None) -> dict[str, Any]:
    """Reads the description of a sweep; a scale's entries replace the file's.

    Args:
        path: The YAML file, or the name of one that comes with rarefy.
        scale: One of its scales.

    Raises:
        SweepError: If the file is not a sweep, or has scales and none is given.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sweep.yaml"
        >>> _ = file.write_text("{about: {title: Two seeds, cost: a minute}, grid: {seed: [1, 2]}}")
        >>> read_about(file)
        {'title': 'Two seeds', 'cost': 'a minute'}
    """
    return _get_part(_read_scaled(path, scale), "about")


def read_evaluation(path: Path, scale: str | None = None) -> dict[str, Any]:
    """Reads the flags of `rarefy eval` for the finished runs; empty if the sweep has no evaluation.

    Args:
        path: The YAML file, or the name of one that comes with rarefy.
        scale: One of its scales.

    Raises:
        SweepError: If the file is not a sweep, or has scales and none is given.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sweep.yaml"
        >>> _ = file.write_text("{grid: {seed: [1, 2]}, evaluate: {calibration: true}}")
        >>> read_evaluation(file)
        {'calibration': True}
    """
    return _get_part(_read_scaled(path, scale), "evaluate")


def read_sweep(
    path: Path,
    *,
    scale: str | None = None,
    assignments: Sequence[str] = (),
    is_remote: bool = False,
    notice: Callable[[str], None] = lambda text: None,
) -> list[SweepRun]:
    """Reads a sweep file: ``base`` under every point of ``grid`` and every entry of ``list``, without ``exclude``.

    Keys are flag names (``sparse_init``) or dotted paths in the config (``training.lr``). Every method is built, so a
    typo fails before anything is trained. Settings that resolve to the same run yield it once.

    Args:
        path: The YAML file, or the name of one that comes with rarefy.
        scale: Which of the file's ``scales`` to apply; required if the file has any.
        assignments: ``name=value`` texts that override everything.
        is_remote: Whether the runs may use a GPU of another machine.
        notice: Called once with each line about a setting that has no effect.

    Raises:
        SweepError: If the file is not a sweep.
        ValueError: If a setting is unknown (the nearest known one is named) or its value is not allowed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "sweep.yaml"
        >>> _ = file.write_text("{base: {sparse: true, fix: true}, grid: {density: [0.1, 0.5], seed: [1, 2]}}")
        >>> [run.label for run in read_sweep(file)]
        ['density=0.1 seed=1', 'density=0.1 seed=2', 'density=0.5 seed=1', 'density=0.5 seed=2']
    """
    parts = _read_scaled(path, scale)
    _get_part(parts, "about")
    if not any(parts.get(part) for part in ("base", "grid", "list")):
        raise SweepError(f"{path} asks for nothing: it has no base, no grid and no list. Write grid: {{seed: [1, 2]}}.")
    notify = _deduplicate(notice)
    entries = _check_list(parts.get("exclude"), "exclude")
    exclusions = [parse_point(entry, f"exclude[{index}]") for index, entry in enumerate(entries)]
    overrides = parse_assignments(assignments)
    runs: dict[str, tuple[Point, ResolvedConfig]] = {}
    for point in (merge_points(point, overrides) for point in _expand_points(parts)):
        config = build_point_config(point, notify)
        if not any(is_excluded(point, config, exclusion) for exclusion in exclusions):
            resolved = _resolve(config, is_remote=is_remote)
            runs.setdefault(resolved.id, (point, resolved))
    if not runs:
        raise SweepError(f"{path} asks for no run: exclude leaves none of its points. Take something out of exclude.")
    return _label_runs(runs)


def _read(path: Path) -> dict[str, Any]:
    file = find_shipped_file(path, "experiments", ".yaml")
    if not file.is_file():
        shipped = list_shipped_files("experiments", ".yaml")
        raise SweepError(
            f"There is no sweep file {path}. Write one: {{base: {{sparse: true}}, grid: {{seed: [1, 2]}}}}; or name "
            f"one that comes with rarefy: {', '.join(shipped)}.",
            path=path,
            shipped=tuple(shipped),
        )
    values = read_settings(file)
    for part in values:
        if part not in (*_PARTS, "scales"):
            raise make_unknown_error("part of a sweep file", str(part), [*_PARTS, "scales"])
    return values


def _read_scaled(path: Path, scale: str | None) -> dict[str, Any]:
    """Reads a file and applies a scale: base and grid key by key, the other parts as a whole."""
    values = _read(path)
    known = _check_mapping(values.pop("scales", None), "scales")
    if scale is None:
        if known:
            raise SweepError(f"{path} has scales; choose one: --scale {' or --scale '.join(map(str, known))}.")
        return values
    if not known:
        raise SweepError(f"{path} has no scales; leave --scale {scale} out.")
    if scale not in known:
        raise make_unknown_error("scale", scale, map(str, known))
    changes = _check_mapping(known[scale], f"scales.{scale}")
    for part, change in changes.items():
        if part not in _PARTS:
            raise make_unknown_error(f"part of scale {scale!r}", str(part), _PARTS)
        is_merged = part in _MERGED
        values[part] = _get_part(values, part) | _get_part(changes, part, f"scales.{scale}.") if is_merged else change
    return values


def _get_part(values: Mapping[str, Any], part: str, prefix: str = "") -> dict[Any, Any]:
    """Returns a part as a mapping; `about` may be one line of text."""
    value = values.get(part)
    return {"about": value} if part == "about" and isinstance(value, str) else _check_mapping(value, prefix + part)


def _expand_points(parts: Mapping[str, Any]) -> Iterator[Point]:
    """Yields the settings of each run, in the file's order."""
    base = parse_point(_check_mapping(parts.get("base"), "base"), "base")
    entries = _check_list(parts.get("list"), "list")
    if parts.get("grid") or not entries:
        yield from (merge_points(base, point) for point in _expand_grid(parts.get("grid"), "grid"))
    for index, entry in enumerate(entries):
        where = f"list[{index}]"
        own = parse_point({name: value for name, value in entry.items() if name != "grid"}, where)
        settings = merge_points(base, own)
        yield from (merge_points(settings, point) for point in _expand_grid(entry.get("grid"), f"{where}.grid"))


_MAX_RUNS = 10_000  # runs of a grid; each is resolved before the first is trained


def _expand_grid(axes: Any, where: str) -> Iterator[Point]:
    """Yields every combination of a grid; the last axis varies fastest."""
    axes = _check_mapping(axes, where)
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SweepError(f"{where}.{name} is {values!r}; an axis is a list of values, such as {name}: [1, 2].")
    count = math.prod(map(len, axes.values()))
    if count > _MAX_RUNS:
        raise SweepError(f"{where} asks for {count} runs; at most {_MAX_RUNS} are one sweep. Make several files of it.")
    for values in itertools.product(*axes.values()):
        point: Point = {}
        for name, value in zip(axes, values, strict=True):
            point = merge_points(point, parse_point({name: value}, where))
        yield point


def _check_mapping(value: Any, where: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SweepError(f"{where} is {value!r}; it has to be a mapping, such as {where}: {{key: value}}.")
    return value


def _check_list(value: Any, where: str) -> list[dict[Any, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise SweepError(f"{where} is {value!r}; it has to be a list of mappings: {where}: [{{seed: 1}}].")
    return [_check_mapping(entry, f"{where}[{index}]") for index, entry in enumerate(value)]


def _resolve(config: Config, *, is_remote: bool) -> ResolvedConfig:
    """Resolves a config; a GPU of the cluster is not checked on this machine."""
    if not (is_remote and config.device.startswith("cuda")):
        return resolve(config)
    resolved = resolve(config.model_copy(update={"device": "cpu"}))
    return dataclasses.replace(resolved, config=resolved.config.model_copy(update={"device": config.device}))


def _label_runs(runs: Mapping[str, tuple[Point, ResolvedConfig]]) -> list[SweepRun]:
    """Builds the runs, each with the settings that differ between them."""
    names = dict.fromkeys(name for point, _ in runs.values() for name in point)
    values = {name: [read_setting(name, point, resolved.config) for point, resolved in runs.values()] for name in names}
    differing = [name for name in names if any(value != values[name][0] for value in values[name])]
    labelled = []
    for index, (run, (_, resolved)) in enumerate(runs.items()):
        settings = {name: values[name][index] for name in differing if values[name][index] is not None}
        labelled.append(SweepRun(run, resolved.config, settings))
    return labelled


def _deduplicate(notice: Callable[[str], None]) -> Callable[[str], None]:
    seen: set[str] = set()

    def notify(text: str) -> None:
        if text not in seen:
            seen.add(text)
            notice(text)

    return notify
