"""Evaluate finished runs: accuracy, calibration, shift, attack, corruption, cost, gradient flow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._eval_flags import make_evaluation_options
from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.cli._threads import use_threads
from rarefy.flags import DATA_DIR, EVAL_FLAGS, JSON, QUIET, THREADS, WORKERS, Flag

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.pipeline import EvaluationOptions
    from rarefy.records import Record

EXAMPLES = (
    "rarefy eval runs/3f2a9c1b77de                  accuracy and gradient flow: seconds\n\n"
    "rarefy eval runs --calibration --cost          every run in a folder\n\n"
    "rarefy eval runs --ood cifar100,svhn,noise --attack fgsm,pgd,autoattack --corruptions --json out.json\n\n"
    "rarefy eval runs --attack pgd:steps=50:restarts=5:eps=4/255 --attack-images 1000\n\n"
    "Results go into each run's record.json and evaluation.html. Existing results are not computed again."
)


OPTIONS = (
    DATA_DIR,
    WORKERS,
    Flag(("--device",), "", str, "Device; default: the one the run was trained on."),
    THREADS,
    dataclasses.replace(JSON, help="Also write all numbers of all runs to this JSON file."),
    Flag(("--page",), "", Path, "Page of all runs; default: in the folder above them."),
    Flag(("--again",), "", bool, "Compute again what the records already contain."),
    dataclasses.replace(QUIET, help="Print only the page's path."),
)


@add_flags(EVAL_FLAGS, into="values")
@add_flags(OPTIONS)
def command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or folders that contain runs.")],
    *,
    values: dict[str, Any],
    data_dir: Path,
    workers: int | None,
    device: str | None,
    threads: int | None,
    json_file: Path | None,
    page: Path | None,
    again: bool,
    quiet: bool,
) -> None:
    """Evaluates, shows and writes."""
    from rarefy.cli._console import console, show_warnings

    show_warnings()
    folders = _folders(runs)

    import_torch()
    use_threads(threads)
    places = {"data_dir": data_dir, "workers": workers, "device": device, "again": again}
    _evaluate(
        console(), folders, make_evaluation_options(values), places=places, json_file=json_file, page=page, quiet=quiet
    )


def _folders(runs: list[Path]) -> list[Path]:
    """Lists every run once, in the order given."""
    from rarefy.paths import find_run_folders
    from rarefy.records import RecordError

    folders: dict[Path, Path] = {}
    for path in runs:
        below = find_run_folders(path)
        if not below:
            raise RecordError(
                f"There is no finished run in {path}. Name a run's folder (it holds a record.json) or the folder "
                "that `rarefy train --out` wrote to; `rarefy runs` lists them."
            )
        folders |= {folder.resolve(): folder for folder in below}
    return list(folders.values())


def _evaluate(
    screen: Console,
    folders: list[Path],
    request: EvaluationOptions,
    *,
    places: dict[str, Any],
    json_file: Path | None,
    page: Path | None,
    quiet: bool,
) -> None:
    import contextlib

    from rarefy.analysis import render_joint_page
    from rarefy.cli._evaluation import EvaluationProgress, results
    from rarefy.installation import format_install_command
    from rarefy.paths import RunPaths
    from rarefy.pipeline import evaluate_runs

    if request.ood and request.left_out and not quiet:
        screen.print(f"note: {', '.join(request.left_out)} left out; {format_install_command('ood')} adds them")
    shown = contextlib.nullcontext(lambda progress: None) if quiet else EvaluationProgress(screen)
    with shown as progress:
        records = evaluate_runs(folders, request, progress=progress, **places)
    pages = [RunPaths(folder).evaluation for folder in folders]
    if page is not None or len(folders) > 1:
        pages = [page or RunPaths(_common(folders)).evaluation]
        render_joint_page(folders, pages[0])
    if json_file is not None:
        _write_json(records, folders, json_file)
    if not quiet:
        for grid in results(records, screen.width):
            screen.print(grid)
    for path in pages:
        print(path) if quiet else screen.print(f"page: {path}")


def _common(folders: list[Path]) -> Path:
    import os

    return Path(os.path.commonpath([folder.parent for folder in folders]))


def _write_json(records: list[Record], folders: list[Path], path: Path) -> None:
    import json

    from rarefy.paths import replace_file

    rows = [
        {"id": record.id, "folder": str(folder), "config": record.config, "metrics": record.metrics}
        for record, folder in zip(records, folders, strict=True)
    ]
    with replace_file(path) as partial:
        partial.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
