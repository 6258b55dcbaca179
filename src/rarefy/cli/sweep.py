"""Train the runs of a sweep file that have no record yet."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.flags import CHECKPOINT_SECONDS, DATA_DIR, OUT, QUIET, RETRY, RUN_THREADS, RUN_WORKERS, SET, Flag

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.pipeline import EvaluationOptions
    from rarefy.sweeps import Executor, Status, SweepRun

EXAMPLES = (
    "rarefy sweep sweep.yaml --dry-run             what it would train\n\n"
    "rarefy sweep cifar10_depth --scale smoke      an experiment of the paper; `rarefy examples` lists them\n\n"
    "rarefy sweep sweep.yaml --workers 2           repeat it to resume, or run it in a second terminal too\n\n"
    "rarefy sweep sweep.yaml --set epochs=1        any setting, over everything in the file\n\n"
    "rarefy sweep sweep.yaml --executor slurm:partition=long:timeout_min=600 --workers 20\n\n"
    "The file: {base: {epochs: 1, sparse: true, fix: true}, grid: {density: [0.1, 0.5], seed: [1, 2]}}\n\n"
    "Exit code 1: some runs failed; their errors are in <out>/<id>/failure.txt."
)
_SHOWN = 3  # ids behind a note


OPTIONS = (
    RUN_WORKERS,
    RUN_THREADS,
    Flag(
        ("--executor",),
        "",
        str,
        "Where runs are trained: {sweeps.EXECUTORS}, with options as in slurm:partition=long.",
        default="local",
    ),
    Flag(("--dry-run",), "", bool, "Only list the runs and what is missing."),
    dataclasses.replace(SET, help="Any flag or setting, as in --set epochs=1; can be repeated."),
    Flag(("--scale",), "", str, "One of the file's scales."),
    RETRY,
    OUT,
    DATA_DIR,
    CHECKPOINT_SECONDS,
    dataclasses.replace(QUIET, help="Print only the runs that failed."),
)


@add_flags(OPTIONS)
def command(
    file: Annotated[Path, typer.Argument(help="YAML file with base, grid and list, or a name from `examples`.")],
    *,
    workers: int | None,
    threads: int | None,
    executor: str,
    dry_run: bool,
    assignments: list[str] | None,
    scale: str | None,
    retry: int,
    out: Path,
    data_dir: Path,
    checkpoint_seconds: float,
    quiet: bool,
) -> None:
    """Reads the file, trains the missing runs and prints the results."""
    from rarefy.cli._console import console, show_warnings

    import_torch()
    from rarefy.sweeps import read_about, read_evaluation, read_sweep

    show_warnings()
    screen, method = console(), _executor(executor, workers, threads)
    runs = read_sweep(
        file,
        scale=scale,
        assignments=assignments or (),
        is_remote=method.is_remote,
        notice=lambda text: console(error=True).print(f"note: {text}"),
    )
    wanted = read_evaluation(file, scale)
    request = _request(wanted, data_dir) if wanted else None
    if dry_run:
        _print_about(screen, read_about(file, scale) | ({"evaluate": wanted} if wanted else {}))
        return _list(screen, runs, out)
    places = {"out": out, "data_dir": data_dir, "checkpoint_seconds": checkpoint_seconds}
    _write_plan(file, scale, runs, out)
    statuses = _sweep(screen, runs, method, retry=retry, places=places, quiet=quiet)
    done = [status.paths.folder for status in statuses if status.state.value == "done"]
    if request and done:
        _evaluate(screen, done, request, data_dir, quiet=quiet)
    if len(done) < len(runs):
        raise typer.Exit(1)


def _write_plan(file: Path, scale: str | None, runs: list[SweepRun], out: Path) -> None:
    """Writes the sweep's title and the ids of its runs beside them, for `rarefy report`."""
    from rarefy.records import SweepPlan, write_sweep_plan
    from rarefy.sweeps import read_about

    about = read_about(file, scale)
    name, title = (
        "-".join([file.stem, *([scale] if scale else [])]),
        str(about.get("title") or about.get("about") or ""),
    )
    write_sweep_plan(SweepPlan(name=name, title=title, about=about, runs={run.id: run.label for run in runs}), out)


def _executor(text: str, workers: int | None, threads: int | None) -> Executor:
    from rarefy.sweeps import EXECUTORS

    given = {"workers": workers, "threads": threads}
    method: Any = EXECUTORS.parse(text)
    changed: Executor = dataclasses.replace(method, **{name: value for name, value in given.items() if value})
    return changed


def _request(wanted: dict[str, Any], data_dir: Path) -> EvaluationOptions:
    """Parses a file's evaluation and checks it before any training."""
    from rarefy.cli._eval_flags import make_evaluation_options, read_eval_flags
    from rarefy.evaluation.ood import require_source

    request = make_evaluation_options(read_eval_flags(wanted, "evaluate"))
    for source in request.ood:
        require_source(source, data_dir)
    return request


def _print_about(screen: Console, words: dict[str, Any]) -> None:
    """Prints a sweep file's own description."""
    import yaml

    if words:
        screen.print(yaml.safe_dump(words, sort_keys=False, allow_unicode=True, width=100))


def _list(screen: Console, runs: list[SweepRun], out: Path) -> None:
    from rarefy.cli._sweep import format_counts, overview
    from rarefy.sweeps import read_statuses

    statuses = read_statuses(runs, out)
    screen.print(overview(statuses, screen.width))
    screen.print(f"{format_counts(statuses)}; nothing was started")


def _sweep(
    screen: Console, runs: list[SweepRun], executor: Executor, *, retry: int, places: dict[str, Any], quiet: bool
) -> list[Status]:
    import contextlib

    from rarefy.cli._progress import stoppable
    from rarefy.cli._sweep import SweepProgress
    from rarefy.sweeps import sweep

    shown = contextlib.nullcontext(lambda statuses: None) if quiet else SweepProgress(screen)
    with stoppable() as should_stop, shown as show:
        statuses = sweep(runs, executor, retry=retry, show=show, should_stop=should_stop, **places)
        stopped = should_stop()
    _conclude(screen, statuses, places["out"], stopped=stopped, quiet=quiet)
    return statuses


def _conclude(screen: Console, statuses: list[Status], out: Path, *, stopped: bool, quiet: bool) -> None:
    from rarefy.cli._sweep import format_counts, overview
    from rarefy.sweeps import RunState

    if not quiet:
        screen.print(overview(statuses, screen.width))
        screen.print(f"{format_counts(statuses)}; records in {out}")
    for note, ids in _notes(statuses).items():
        more = f", and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        screen.print(f"note: {note} ({', '.join(ids[:_SHOWN])}{more})")
    failed: dict[str, list[Status]] = {}
    for status in statuses:
        if status.state is RunState.FAILED:
            failed.setdefault(status.message, []).append(status)
    for words, alike in failed.items():
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        file = alike[0].paths.failure
        where = f" ({file})" if file.is_file() else ""
        screen.print(f"failed: {alike[0].run.id} {alike[0].run.label}{more}: {words}{where}")
    if stopped and any(not status.state.is_final for status in statuses):
        screen.print("Stopped; unfinished runs have saved their state. The same command goes on from there.")
        raise typer.Exit(130)


def _notes(statuses: list[Status]) -> dict[str, list[str]]:
    """Groups the ids of runs by the warnings they gave."""
    ids: dict[str, list[str]] = {}
    for status in statuses:
        for note in status.notes:
            ids.setdefault(note, []).append(status.run.id)
    return ids


def _evaluate(screen: Console, folders: list[Path], request: EvaluationOptions, data_dir: Path, *, quiet: bool) -> None:
    """Evaluates runs as `rarefy eval` does; waits for runs that another process holds."""
    import contextlib
    import time

    from rarefy.analysis import render_joint_page
    from rarefy.cli._evaluation import EvaluationProgress
    from rarefy.paths import RunPaths
    from rarefy.pipeline import RunHeld, evaluate_runs

    shown = contextlib.nullcontext(lambda progress: None) if quiet else EvaluationProgress(screen)
    with shown as progress:
        while True:
            try:
                evaluate_runs(folders, request, data_dir=data_dir, progress=progress)
                break
            except RunHeld:
                time.sleep(1)
    page = RunPaths(folders[0].parent).evaluation
    render_joint_page(folders, page)
    screen.print(f"page: {page}")
