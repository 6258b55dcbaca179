"""Reads what is being trained: sweeps and runs without a record, and what finished runs say so far."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.analysis._collect_study import collect_study
from rarefy.analysis._finished import CompareError
from rarefy.analysis._groups import select_deciding_settings
from rarefy.analysis._run_groups import make_groups
from rarefy.config import Config, ConfigError, flatten_settings, read_settings
from rarefy.paths import RunPaths, find_run_folders, find_unfinished_folders
from rarefy.records import RecordError, SweepPlan, read_history, read_sweep_plans
from rarefy.reports import LiveRun, LiveSweep, Section, build_answer


def read_live_runs(paths: Sequence[Path], now: float | None = None) -> list[LiveRun]:
    """Reads the runs in folders that have no record, those that wrote something last first.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        now: The time, in seconds since the epoch; None: the clock's.

    Example:
        >>> read_live_runs([Path("nowhere")])
        []
    """
    folders = [folder for path in paths for folder in find_unfinished_folders(path)]
    settings = {folder: values for folder in folders if (values := _read_settings(folder))}
    groups = make_groups([select_deciding_settings(values) for values in settings.values()])
    several = len({group.network for group in groups}) > 1
    runs = []
    for (folder, values), group in zip(settings.items(), groups, strict=True):
        name = group.method if group.dense else f"{group.method} {100 * group.density:.3g}%"
        files = RunPaths(folder)
        run = LiveRun(
            folder.name, f"{name}, {group.network}" if several else name, group.style_name, values["seed"],
            values["training.epochs"], tuple(epoch.model_dump() for epoch in read_history(files.history)),
            max(0.0, (time.time() if now is None else now) - _read_time(files)), _read_failure(files.failure),
        )  # fmt: skip
        runs.append(run)
    return sorted(runs, key=lambda run: (run.silent_seconds, run.id))


def _read_settings(folder: Path) -> Mapping[str, Any] | None:
    """Reads the settings of a run; None if they cannot be understood, or the run has just been removed."""
    try:
        return flatten_settings(Config.from_values(read_settings(RunPaths(folder).config)).model_dump(mode="json"))
    except (ConfigError, OSError):
        return None


def _read_time(files: RunPaths) -> float:
    """Reads when a run last wrote anything."""
    times = [0.0]
    for path in (files.config, files.history, files.checkpoint, files.log):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times)


def _read_failure(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def read_live_sweeps(paths: Sequence[Path], runs: Sequence[LiveRun]) -> list[LiveSweep]:
    """Reads how far the sweeps are whose runs are in folders, the latest first.

    Args:
        paths: Folders that hold folders of runs.
        runs: Their runs without a record.
    """
    unfinished = {run.id: run for run in runs}
    done = {folder.name for path in paths for folder in find_run_folders(path)}
    plans = [plan for path in paths for plan in read_sweep_plans(path)]
    return [_count_runs(plan, done, unfinished) for plan in reversed(plans)]


def _count_runs(plan: SweepPlan, done: set[str], unfinished: Mapping[str, LiveRun]) -> LiveSweep:
    started = tuple(unfinished[name] for name in plan.runs if name in unfinished)
    finished = sum(name in done for name in plan.runs)
    waiting = len(plan.runs) - finished - len(started)
    return LiveSweep(plan.title or plan.name, plan.started, finished, started, waiting)


def read_answer(paths: Sequence[Path], margin: float, baseline: str) -> Section | None:
    """Reads what finished runs say so far; None before there are any, or while they cannot be compared."""
    try:
        return build_answer(collect_study(paths, margin=margin, baseline=baseline))
    except (CompareError, RecordError, OSError, LookupError):
        return None
