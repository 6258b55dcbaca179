"""Train one network, dense or sparse, and record it."""

from __future__ import annotations

import contextlib
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import THREADS, WORKERS, with_flags
from rarefy.cli._threads import use_threads
from rarefy.errors import InvalidInput
from rarefy.registry import names_on_disk, normalize_name

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.config import Config

EXAMPLES = (
    "rarefy train                                  dense, on the bundled handwritten digits\n\n"
    "rarefy train --sparse --fix --density 0.1     10% of the weights, drawn at random, ERK\n\n"
    "rarefy train --sparse --fix --density 0.05 --model cifar_resnet_20 --data cifar10 --epoch 160\n\n"
    "rarefy train --track tensorboard,mlflow       to be watched while it trains; options as in mlflow:experiment=x\n\n"
    "torchrun --nproc-per-node 4 -m rarefy train ...   one run on four processes, -b images a step in all\n\n"
    "An interrupted run goes on where it was: give the same command again."
)
_UNSAID = (
    "what the command leaves unsaid is as for CIFAR (weight decay 5e-4 on norms, too, Nesterov, rate divided at 1/2 "
    "and 3/4); the paper's values for ImageNet: --recipe imagenet-paper, over which flags go"
)
TRACK_HELP = f"Trackers: {', '.join(names_on_disk('training/trackers'))}; they change no result."
_SHARD = typer.Option("--shard", "--fsdp", help="Each process holds a part of every weight, not a copy.")
_RANK_TIMEOUT = typer.Option(
    "--rank-timeout", min=1, max=10**7, help="Seconds to wait for a process that hangs (torchrun)."
)


@with_flags
def command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Short for --data-dir DIR, and --data imagenet if not said.")
    ] = None,
    *,
    flags: dict[str, Any],
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings; flags go over it.")] = None,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="Any setting: --set training.lr=0.05")] = None,
    out: Annotated[Path, typer.Option("--out", "--save", help="Where runs go: OUT/<id>/.")] = Path("runs"),
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where data sets are looked for; default: data.")
    ] = None,
    workers: Annotated[int | None, WORKERS] = None,
    shard: Annotated[bool, _SHARD] = False,
    threads: Annotated[int | None, THREADS] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option("--checkpoint-seconds", min=0, help="Longest time between checkpoints in an epoch.")
    ] = 60.0,
    rank_timeout: Annotated[float, _RANK_TIMEOUT] = 1800.0,
    resume: Annotated[bool, typer.Option("--resume", help="Always on: an interrupted run goes on.")] = False,
    track: Annotated[str, typer.Option("--track", help=TRACK_HELP)] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the run's folder, at the end.")] = False,
) -> None:
    """Trains, tests and records."""
    from rarefy.cli._console import console, show_warnings
    from rarefy.config import build_config

    places = {"out": out, "workers": workers, "shard": shard, "checkpoint_seconds": checkpoint_seconds}
    if folder and not config:
        flags["data"] = flags["data"] or "imagenet"
    with _together(rank_timeout):
        settings = build_config(flags, file=config, assignments=assignments or (), notice=_notice)
        places["data_dir"] = _data_dir(folder, data_dir)
        _tell_unsaid(settings, flags, config)
        show_warnings(on=_speaks(), quiet=quiet)
        _train(settings, console(), places=places, threads=threads, track=track, quiet=quiet)


def _together(patience: float) -> contextlib.AbstractContextManager[Any]:
    """The processes of a launcher, joined before anything can go wrong on one of them; no import of torch without."""
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

    if _speaks():
        console(error=True).print(f"note: {text}")


def _speaks() -> bool:
    """Whether this is the one process of those that train together that tells what goes on."""
    return os.environ.get("RANK", "0") == "0"


def _tell_unsaid(settings: Config, flags: dict[str, Any], file: Path | None) -> None:
    """What those expect otherwise who come from the paper's code: its defaults, and the batch of one process."""
    if normalize_name(settings.data.name) == "imagenet" and not (flags["recipe"] or file):
        _notice(_UNSAID)
    ranks, batch = int(os.environ.get("WORLD_SIZE", "1")), settings.training.batch_size
    if ranks > 1 and flags["batch_size"]:
        _notice(
            f"-b {batch} is a step of all {ranks} processes together, {batch / ranks:g} images each; "
            f"where code counts the batch of one process, as the paper's does, the same is -b {batch * ranks} here"
        )


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
    shown = _speaks() and not quiet
    if shown:
        show_plan(screen, plan.config, folder)
    callbacks = [TrainingProgress(screen)] if shown else []
    with stoppable() as should_stop, join_process_group(plan.device) as world:
        places |= {"callbacks": callbacks, "trackers": trackers, "should_stop": should_stop, "world": world}
        try:
            record = run(config, **places)
        except Interrupted as stop:
            if _speaks():
                screen.print(f"{stop} Saved in {folder}; the same command goes on from there.")
            raise typer.Exit(130) from None
    if _speaks() and quiet:
        print(folder)
    elif shown:
        show_record(screen, record, folder)
