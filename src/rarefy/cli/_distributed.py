"""`rarefy bench --distributed`: a run's training on several processes, as flags, as a table and as plain values."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rarefy.cli._threads import use_threads
from rarefy.cores import check_threads
from rarefy.errors import InvalidInput
from rarefy.flags import CONFIG_FILE, SET, WORKERS, Flag

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from rarefy.benchmarking import ScalingResult
    from rarefy.config import Config
    from rarefy.distributed import World

COLUMNS = ("processes", "what", "images/s", "one alone", "efficiency", "speed-up", "waits for data", "against dense")


DISTRIBUTED_FLAGS = (
    Flag(("--distributed",), "", bool, "Time training on several processes, data loading included."),
    Flag(("--ranks",), "", str, "With --distributed: numbers of processes to start, as in 1,2,4.", default=""),
    Flag(("--seconds",), "", float, "With --distributed: seconds per measurement in each round.", default=1.0),
    *(
        dataclasses.replace(flag, help="With --distributed: as for `rarefy train`.")
        for flag in (WORKERS, CONFIG_FILE, SET)
    ),
)


def refuse(flags: Mapping[str, Any], scaling: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises ValueError for flags that mean nothing without ``--distributed``."""
    unused = [name for name, value in flags.items() if value not in (None, False) and name not in known]
    unused += [flag.name for flag in DISTRIBUTED_FLAGS if scaling[flag.name] not in (flag.default, False, [])]
    if unused:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in unused).replace("--assignments", "--set")
        raise InvalidInput(f"{names}: only `rarefy bench --distributed` reads that.")


def parse_whole_numbers(flag: str, text: str, example: str) -> list[int]:
    """``1,128`` as numbers; raises ValueError for anything else."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdigit() and int(word) for word in words):
        raise InvalidInput(
            f"{flag} cannot be {text!r}: give whole numbers from 1 on with commas, as in {example}.",
            name=flag,
            value=text,
        )
    return [int(word) for word in words]


def distributed(
    run: Path | None,
    flags: dict[str, Any],
    scaling: Mapping[str, Any],
    *,
    rounds: int,
    threads: int | None,
    data_dir: Path,
    quiet: bool,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measures and prints; returns all results as one mapping, and one row per line of the table.

    Under a launcher it measures the launcher's processes; only rank 0 prints.
    """
    import torch

    from rarefy.cli._console import console
    from rarefy.engines import describe_machine
    from rarefy.pipeline import resolve

    plan = resolve(_config(run, flags, scaling))
    given = {"data_dir": data_dir, "workers": scaling["workers"], "rounds": rounds, "seconds": scaling["seconds"]}
    measure = _measure_launched if "RANK" in os.environ else _measure_spawned
    speeds, threads = measure(plan.config, plan.device, scaling["ranks"], threads, given, quiet)
    on_gpu = plan.device.type == "cuda"
    where = torch.cuda.get_device_name() if on_gpu else f"{threads} thread(s) a process of {describe_machine()}"
    _show(console(), plan.config, speeds, where, rounds)
    rows = [dataclasses.asdict(speed) for speed in speeds]
    about = {"config": plan.config.model_dump(mode="json"), "where": where, "threads": threads, **given}
    lines = [{name: value for name, value in row.items() if name != "rounds"} for row in rows]
    return {**about, "data_dir": str(data_dir), "torch": torch.__version__, "speeds": rows}, lines


def _config(run: Path | None, flags: dict[str, Any], scaling: Mapping[str, Any]) -> Config:
    """Builds the config from a finished run, a file or flags (sparse, and static unless they name a topology)."""
    from rarefy.config import build_config
    from rarefy.paths import RunPaths

    file = RunPaths(run).config if run else scaling["config"]
    if run and scaling["config"]:
        raise InvalidInput(f"The run {run} and --config {scaling['config']} both say everything. Give one of them.")
    if not file:
        flags["sparse"] = True
        flags["fix"] = not any(flags[name] for name in ("topology", "growth", "death", "redistribution"))
    return build_config(flags, file=file, assignments=scaling["assignments"] or ())


_Speeds = tuple[list["ScalingResult"], int]  # and threads per process


def _measure_launched(
    config: Config, device: torch.device, ranks: str, threads: int | None, given: dict[str, Any], quiet: bool
) -> _Speeds:
    """Measures on the processes of a launcher; exits on all ranks but 0."""
    import torch

    from rarefy.distributed import join_process_group

    if ranks:
        raise InvalidInput(
            f"--ranks starts processes; here are {os.environ['WORLD_SIZE']} of a launcher. Leave it out."
        )
    use_threads(threads)
    with join_process_group(device) as world:
        speeds = _measure_on_ranks(world, config, given, quiet)
    if not world.is_rank0:
        raise typer.Exit
    return list(speeds), torch.get_num_threads()


def _measure_spawned(
    config: Config, device: torch.device, ranks: str, threads: int | None, given: dict[str, Any], quiet: bool
) -> _Speeds:
    """Measures on processes started here, with the same number of threads in each."""
    import torch

    from rarefy.benchmarking import check_ranks, spawn_ranks

    most = torch.cuda.device_count() if device.type == "cuda" else 2
    powers = [2**power for power in range(most.bit_length())]
    counts = sorted(set(parse_whole_numbers("--ranks", ranks, "1,2,4"))) if ranks else powers
    check_ranks(counts[-1], device)
    if threads:
        check_threads(threads)
    threads = threads or max(1, torch.get_num_threads() // counts[-1])
    speeds: list[ScalingResult] = []
    for count in counts:
        speeds += spawn_ranks(count, device, _measure_on_ranks, config, given, quiet, threads=threads)
    fewest = {speed.what: speed.images_per_second for speed in speeds if speed.ranks == counts[0]}
    return [
        dataclasses.replace(speed, speedup=speed.images_per_second / fewest[speed.what]) for speed in speeds
    ], threads


def _measure_on_ranks(world: World, config: Config, given: dict[str, Any], quiet: bool) -> Iterable[ScalingResult]:
    """What each process does; the first one says how far it is."""
    from rarefy.benchmarking import measure_scaling
    from rarefy.cli._console import console
    from rarefy.cli._progress import ShareProgress

    silent: Any = contextlib.nullcontext(lambda what, share: None)
    with ShareProgress(console()) if world.is_rank0 and not quiet else silent as progress:
        return measure_scaling(config, world=world, progress=progress, **given)


def _show(screen: Console, config: Config, speeds: Iterable[ScalingResult], where: str, rounds: int) -> None:
    from rarefy.cli._console import percent, table

    training = config.training
    screen.print(
        f"{config.model.name} on {config.data.name}, {config.allocation.name}, density {percent(config.density)}, "
        f"{training.batch_size} images a step of all processes, {training.precision}; {where}; "
        f"medians of {rounds} rounds"
    )
    rows = [
        (
            *(speed.ranks, speed.what, f"{speed.images_per_second:.4g}", f"{speed.alone:.4g}"),
            *(percent(speed.efficiency), "-" if speed.speedup is None else f"{speed.speedup:.2f}x"),
            *(percent(speed.waiting), f"{speed.against_dense:.3f}x"),
        )
        for speed in speeds
    ]
    screen.print(table(None, COLUMNS, rows))
