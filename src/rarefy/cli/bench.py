"""Time a sparse network dense, masked and with the cpu engine; with --distributed, training on several processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._distributed import DISTRIBUTED_FLAGS, distributed, parse_whole_numbers, refuse
from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.cli._step_profile import profile_step
from rarefy.cli._threads import use_threads
from rarefy.errors import InvalidInput
from rarefy.flags import CHANNELS, CLASSES, CSV, DATA_DIR, FLAGS, JSON, QUIET, SIZE, THREADS, Flag

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rarefy.benchmarking import BenchResult
    from rarefy.pipeline import Network

EXAMPLES = (
    "rarefy bench runs/3f2a9c1b77de\n\n"
    "rarefy bench --model cifar_resnet_20_32 --density 0.05 --batches 1,128\n\n"
    "rarefy bench --model mlp_1024_1024 --sparse-init uniform --density 0.02 --threads 1 --json bench.json\n\n"
    "Share of peak: the FLOPs needed (of all weights for dense, else of those kept) per second, over the machine's "
    "measured peak. Times exclude compiling the kernels, which happens once per machine.\n\n"
    "rarefy bench --model cifar_resnet_20_32 --density 0.05 --pattern out8\n\n"
    "rarefy bench --model cifar_resnet_20_32 --density 0.05 --profile --csv profile.csv\n\n"
    "rarefy bench --distributed --ranks 1,2,4 --data imagenet --data-dir DIR --model resnet50 -b 256 --bf16 -j 8\n\n"
    "torchrun --nproc-per-node 4 -m rarefy bench --distributed ...\n\n"
    "--distributed takes every flag of `rarefy train` and times training steps, dense and sparse alternately, with "
    "the real data. Efficiency is weak scaling (step time of one process, with as many images each, over "
    "that on all), speed-up is strong scaling (the same -b on the fewest processes)."
)
_NAMING = ("model", "sparse_init", "density", "pattern")


OPTIONS = (
    dataclasses.replace(CLASSES, help="With --model: number of classes; default: 10.", default=None),
    dataclasses.replace(CHANNELS, help="With --model: channels of an image; default: 3.", default=None),
    dataclasses.replace(SIZE, help="With --model: height and width of an image; default: 32.", default=None),
    Flag(("--batches",), "", str, "Batch sizes; default: 1,128,256; with --profile one, 128."),
    Flag(("--profile",), "", bool, "Instead, print where a training step's time goes, by kind of work and layer."),
    Flag(("--rounds",), "", int, "Rounds of each comparison; medians are shown.", default=7, minimum=1),
    THREADS,
    DATA_DIR,
    JSON,
    dataclasses.replace(CSV, help="Also write one row per line of the table to this CSV file."),
    dataclasses.replace(QUIET, help="Print only the tables."),
)


@add_flags(DISTRIBUTED_FLAGS, into="distribution")
@add_flags(FLAGS, into="flags", shown=_NAMING)
@add_flags(OPTIONS)
def command(
    run: Annotated[Path | None, typer.Argument(help="Folder of a finished run; or name a --model.")] = None,
    *,
    flags: dict[str, Any],
    distribution: dict[str, Any],
    classes: int | None,
    channels: int | None,
    size: int | None,
    batches: str | None,
    profile: bool,
    rounds: int,
    threads: int | None,
    data_dir: Path,
    json_file: Path | None,
    csv_file: Path | None,
    quiet: bool,
) -> None:
    """Measures and prints."""
    shape = {"classes": classes, "channels": channels, "size": size, "batches": batches}
    if distribution["distributed"]:
        _refuse_shape(shape, profile=profile)
        import_torch()
        content, rows = distributed(
            run, flags, distribution, rounds=rounds, threads=threads, data_dir=data_dir, quiet=quiet
        )
    else:
        refuse(flags, distribution, _NAMING)
        default = "128" if profile else "1,128,256"
        counts = parse_whole_numbers("--batches", default if batches is None else batches, default)
        network = _load_network(run, flags, shape, threads, data_dir)
        content, rows = (profile_step if profile else _time_engines)(network, counts, rounds, quiet=quiet)
    _write(content, rows, json_file, csv_file)


def _refuse_shape(shape: dict[str, Any], *, profile: bool) -> None:
    if profile:
        raise InvalidInput("--profile: with --distributed the steps of several processes are timed as a whole.")
    given = ", ".join(f"--{name}" for name, value in shape.items() if value is not None)
    if given:
        raise InvalidInput(
            f"{given}: with --distributed the data set gives the shape of images, and -b the batch size."
        )


def _load_network(
    run: Path | None, flags: dict[str, Any], shape: dict[str, Any], threads: int | None, data_dir: Path
) -> Network:
    """Loads the network of a run, or builds the one that is named."""
    import_torch()
    if (run is None) == (flags["model"] is None):
        raise InvalidInput("Name either the folder of a finished run or a --model, not both and not neither.")

    from rarefy.pipeline import load_network

    use_threads(threads)
    return load_network(run, data_dir=data_dir) if run is not None else _build_named(flags, shape)


def _time_engines(
    network: Network, batches: list[int], rounds: int, *, quiet: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measures the engines, prints the table and returns the results as plain values."""
    from rarefy.cli._console import console

    result = _measure(console(), network, batches, rounds, quiet=quiet)
    _show(console(), network, result)
    content = {"config": network.config.model_dump(mode="json"), **dataclasses.asdict(result)}
    return content, content["timings"]


def _build_named(flags: dict[str, Any], shape: dict[str, Any]) -> Network:
    from rarefy.config import build_config
    from rarefy.pipeline import build_network

    size, channels, classes = shape["size"] or 32, shape["channels"] or 3, shape["classes"] or 10
    config = build_config({**flags, "sparse": True, "fix": True})
    return build_network(config, in_channels=channels, classes=classes, size=(size, size))


def _measure(screen: Console, network: Network, batches: list[int], rounds: int, *, quiet: bool) -> BenchResult:
    from rarefy.benchmarking import bench

    def print_progress(what: str, share: float) -> None:
        screen.print(f"{100 * share:3.0f}%  {what}")

    progress: Callable[[str, float], None] = (lambda what, share: None) if quiet else print_progress
    given: dict[str, Any] = {"batches": batches, "rounds": rounds, "progress": progress}
    return bench(network.model, network.sparsity, network.shape, **given)


def _show(screen: Console, network: Network, result: BenchResult) -> None:
    from rarefy.cli._console import percent, quantity

    config = network.config
    pattern = "" if config.pattern == "unstructured" else f"{config.pattern}, "
    screen.print(
        f"{config.model.name}, {config.allocation.name}, {pattern}density {percent(result.kept / result.total)}, "
        f"{result.threads} thread(s) of {result.machine}: peak {result.gigaflops:.0f} GFLOP/s"
    )
    screen.print(_table(result))
    sparse = sum(how == "sparse" for how in result.layers.values())
    held = ", ".join(f"{engine} {quantity(size)}B" for engine, size in result.weight_bytes.items())
    if held:
        screen.print(f"parameters, gradients and momentum: {held}")
    screen.print(
        f"cpu: {sparse} of {len(result.layers)} layers sparse; kernels ready in {result.compile_seconds:.1f} s"
    )


def _table(result: BenchResult) -> Table:
    from rarefy.cli._console import table

    columns = ("what", "batch", "engine", "ms", "speed-up", "peak memory", "share of peak")
    return table(None, columns, _rows(result))


def _rows(result: BenchResult) -> Iterator[tuple[object, ...]]:
    from rarefy.cli._console import percent, quantity

    for timing in result.timings:
        memory = "-" if timing.peak_bytes is None else f"{quantity(timing.peak_bytes)}B"
        time = (f"{timing.milliseconds:.4g}", f"{timing.speedup:.2f}x")
        yield timing.what, timing.batch, timing.engine, *time, memory, percent(timing.limit_share)


def _write(content: dict[str, Any], rows: list[dict[str, Any]], json_file: Path | None, csv_file: Path | None) -> None:
    from rarefy.paths import replace_file
    from rarefy.reports import format_csv

    if json_file is not None:
        with replace_file(json_file) as partial:
            partial.write_text(json.dumps(content, indent=1, allow_nan=False, default=str) + "\n", encoding="utf-8")
    if csv_file is not None:
        with replace_file(csv_file) as partial:
            partial.write_text(format_csv(list(rows[0]), [list(row.values()) for row in rows]), encoding="utf-8")
