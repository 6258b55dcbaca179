"""Train one network, dense or sparse, and record it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.cli._threads import use_threads
from rarefy.errors import InvalidInput
from rarefy.flags import CHECKPOINT_SECONDS, CONFIG_FILE, DATA_DIR, FLAGS, OUT, QUIET, SET, THREADS, WORKERS, Flag
from rarefy.registry import normalize_name

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.config import Config

EXAMPLES = (
    "rarefy train                                  dense, on the bundled handwritten digits\n\n"
    "rarefy train --sparse --fix --density 0.1     10% of the weights, drawn at random, ERK\n\n"
    "rarefy train --sparse --fix --density 0.05 --model cifar_resnet_20 --data cifar10 --epoch 160\n\n"
    "rarefy train --track tensorboard,mlflow       watch it while it trains; options as in mlflow:experiment=x\n\n"
    "torchrun --nproc-per-node 4 -m rarefy train ...   one run on four processes; -b is the global batch\n\n"
    "To continue an interrupted run, give the same command again."
)
_IMAGENET_DEFAULTS = (
    "settings you omit are those for CIFAR (weight decay 5e-4 on norms, too, Nesterov, rate divided at 1/2 "
    "and 3/4); the paper's values for ImageNet: --recipe imagenet-paper, which flags override"
)
_RANK_TIMEOUT = Flag(
    names=("--rank-timeout",),
    config_path="",
    kind=float,
    help="Seconds to wait for a process that hangs (torchrun).",
    default=1800.0,
    minimum=1,
    maximum=10**7,
)
OPTIONS = (
    CONFIG_FILE,
    SET,
    OUT,
    dataclasses.replace(DATA_DIR, help="Folder where data sets are looked for; default: data.", default=None),
    WORKERS,
    Flag(("--shard", "--fsdp"), "", bool, "Each process holds a part of every weight instead of a copy."),
    THREADS,
    CHECKPOINT_SECONDS,
    _RANK_TIMEOUT,
    Flag(("--resume",), "", bool, "", no_effect="an interrupted run always continues"),
    Flag(("--track",), "", str, "Trackers: {training.trackers.TRACKERS}; they do not change any result.", default=""),
    Flag(("--name",), "", str, "What you call the run, for `rarefy runs`; not part of its id.", default=""),
    Flag(("--print-config",), "", bool, "Print every setting as YAML, which --config reads, and train nothing."),
    dataclasses.replace(QUIET, help="Print only the run's folder, at the end."),
)


@add_flags(FLAGS, into="flags")
@add_flags(OPTIONS)
def command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Short for --data-dir DIR, with --data imagenet by default.")
    ] = None,
    *,
    flags: dict[str, Any],
    config: Path | None,
    assignments: list[str] | None,
    out: Path,
    data_dir: Path | None,
    workers: int | None,
    shard: bool,
    threads: int | None,
    checkpoint_seconds: float,
    rank_timeout: float,
    resume: bool,
    track: str,
    name: str,
    print_config: bool,
    quiet: bool,
) -> None:
    """Trains, tests and records."""
    from rarefy.cli._console import console, show_warnings
    from rarefy.config import build_config

    places = {
        "out": out, "workers": workers, "shard": shard, "checkpoint_seconds": checkpoint_seconds, "name": name
    }  # fmt: skip
    if folder and not config:
        flags["data"] = flags["data"] or "imagenet"
    with _join_launcher(rank_timeout):
        settings = build_config(flags, file=config, assignments=assignments or (), notice=_notice)
        places["data_dir"] = _data_dir(folder, data_dir)
        _note_defaults(settings, flags, config)
        show_warnings(on=_is_rank0(), quiet=quiet)
        import_torch()
        if print_config:
            _print_config(settings)
            return
        _train(settings, console(), places=places, threads=threads, track=track, quiet=quiet)


def _join_launcher(patience: float) -> contextlib.AbstractContextManager[Any]:
    """Joins a launcher's process group before anything can fail on one rank; without one, does not import torch."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return contextlib.nullcontext()
    from rarefy.distributed import join_process_group

    return join_process_group(patience=datetime.timedelta(seconds=patience))


def _data_dir(folder: Path | None, data_dir: Path | None) -> Path:
    if folder and data_dir:
        raise InvalidInput(f"The data are in {folder} or in --data-dir {data_dir}: give one of them.")
    return folder or data_dir or Path("data")


def _notice(text: str) -> None:
    from rarefy.cli._console import console

    if _is_rank0():
        console(error=True).print(f"note: {text}")


def _is_rank0() -> bool:
    """Returns whether this is rank 0, the only process that prints."""
    return os.environ.get("RANK", "0") == "0"


def _note_defaults(settings: Config, flags: dict[str, Any], file: Path | None) -> None:
    """Notes where defaults and batch size differ from those of the paper's code."""
    if normalize_name(settings.data.name) == "imagenet" and not (flags["recipe"] or file):
        _notice(_IMAGENET_DEFAULTS)
    ranks, batch = int(os.environ.get("WORLD_SIZE", "1")), settings.training.batch_size
    if ranks > 1 and flags["batch_size"]:
        _notice(
            f"-b {batch} is a step of all {ranks} processes together, {batch / ranks:g} images each; "
            f"where code counts the batch of one process, as the paper's does, the same is -b {batch * ranks} here"
        )


def _print_config(config: Config) -> None:
    """Prints every resolved setting; the id in the first line is that of the run."""
    from rarefy.config import dump_config
    from rarefy.pipeline import resolve

    plan = resolve(config)
    if _is_rank0():
        print(f"# run {plan.id}\n{dump_config(plan.config)}", end="")


def _train(
    config: Config, screen: Console, *, places: dict[str, Any], threads: int | None, track: str, quiet: bool
) -> None:

    from rarefy.cli._progress import TrainingProgress, stoppable
    from rarefy.cli._summary import show_plan, show_record
    from rarefy.distributed import join_process_group
    from rarefy.pipeline import resolve, run
    from rarefy.training import Interrupted, parse_trackers

    use_threads(threads)
    plan, trackers = resolve(config), parse_trackers(track)
    folder = places["out"] / plan.id
    shown = _is_rank0() and not quiet
    if shown:
        show_plan(screen, plan.config, folder)
    callbacks = [TrainingProgress(screen)] if shown else []
    with stoppable() as should_stop, join_process_group(plan.device) as world:
        places |= {"callbacks": callbacks, "trackers": trackers, "should_stop": should_stop, "world": world}
        try:
            record = run(config, **places)
        except Interrupted as stop:
            if _is_rank0():
                screen.print(f"{stop} Saved in {folder}; the same command goes on from there.")
            raise typer.Exit(130) from None
    if _is_rank0() and quiet:
        print(folder)
    elif shown:
        show_record(screen, record, folder)
