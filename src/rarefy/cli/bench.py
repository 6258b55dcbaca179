"""Time a sparse network dense, masked and with the cpu engine, side by side on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rarefy.run import Bench, Network

EXAMPLES = (
    "rarefy bench runs/3f2a9c1b77de\n\n"
    "rarefy bench --model cifar_resnet_20_32 --density 0.05 --batches 1,128\n\n"
    "rarefy bench --model mlp_1024_1024 --sparse-init uniform --density 0.02 --threads 1 --json bench.json\n\n"
    "A share is of the machine's measured peak: the FLOPs of the weights that are needed (of all for dense, else of "
    "those kept), in that time. Compiling the kernels, once a machine, is no part of the times."
)


def command(
    run: Annotated[Path | None, typer.Argument(help="Folder of a finished run; or name a --model.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model, as for `rarefy train --model`.")] = None,
    sparse_init: Annotated[str, typer.Option("--sparse-init", help="Allocation, with --model.")] = "erk",
    density: Annotated[float, typer.Option("--density", help="Fraction of weights kept, with --model.")] = 0.05,
    classes: Annotated[int, typer.Option("--classes", min=1, help="Classes, with --model.")] = 10,
    channels: Annotated[int, typer.Option("--channels", min=1, help="Channels of an image, with --model.")] = 3,
    size: Annotated[int, typer.Option("--size", min=1, help="Height and width of an image, with --model.")] = 32,
    batches: Annotated[str, typer.Option("--batches", help="Numbers of images, with commas.")] = "1,128,256",
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds of each comparison; medians count.")] = 7,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads of the CPU; default: all.")] = None,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where a run's data set is looked for.")] = Path("data"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers there, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the tables only.")] = False,
) -> None:
    """Measures and prints."""
    from rarefy.cli._console import console

    counts = _numbers(batches)
    if (run is None) == (model is None):
        raise ValueError("Name either the folder of a finished run or a --model, not both and not neither.")
    import torch

    from rarefy.run import network_of_run

    if threads:
        torch.set_num_threads(threads)
    if run is not None:
        network = network_of_run(run, data_dir=data_dir)
    else:
        network = _named(str(model), sparse_init, density, channels=channels, classes=classes, size=size)
    found = _measure(console(), network, counts, rounds, quiet=quiet)
    _show(console(), network, found)
    if json_file is not None:
        _write(network, found, json_file)


def _numbers(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdigit() and int(word) for word in words):
        raise ValueError(f"--batches cannot be {text!r}: give whole numbers from 1 on with commas, as in 1,128,256.")
    return [int(word) for word in words]


def _named(model: str, allocation: str, density: float, *, channels: int, classes: int, size: int) -> Network:
    from rarefy.config import from_flags
    from rarefy.run import network_of_config

    flags = {"model": model, "sparse": True, "fix": True, "sparse_init": allocation, "density": density}
    return network_of_config(from_flags(flags), in_channels=channels, classes=classes, size=(size, size))


def _measure(screen: Console, network: Network, batches: list[int], rounds: int, *, quiet: bool) -> Bench:
    from rarefy.run import bench

    def told(what: str, share: float) -> None:
        screen.print(f"{100 * share:3.0f}%  {what}")

    progress: Callable[[str, float], None] = (lambda what, share: None) if quiet else told
    given: dict[str, Any] = {"batches": batches, "rounds": rounds, "progress": progress}
    return bench(network.model, network.sparsity, network.shape, **given)


def _show(screen: Console, network: Network, found: Bench) -> None:
    from rarefy.cli._console import percent, quantity

    config = network.config
    screen.print(
        f"{config.model.name}, {config.allocation.name}, density {percent(found.kept / found.total)}, "
        f"{found.threads} thread(s) of {found.machine}: peak {found.gigaflops:.0f} GFLOP/s"
    )
    screen.print(_table(found))
    sparse = sum(how == "sparse" for how in found.layers.values())
    held = ", ".join(f"{engine} {quantity(size)}B" for engine, size in found.weight_bytes.items())
    if held:
        screen.print(f"parameters, gradients and momentum: {held}")
    screen.print(f"cpu: {sparse} of {len(found.layers)} layers sparse; kernels ready in {found.compile_seconds:.1f} s")


def _table(found: Bench) -> Table:
    from rarefy.cli._console import table

    columns = ("what", "batch", "engine", "ms", "speed-up", "peak memory", "share of peak")
    return table(None, columns, _rows(found))


def _rows(found: Bench) -> Iterator[tuple[object, ...]]:
    from rarefy.cli._console import percent, quantity

    for timing in found.timings:
        memory = "-" if timing.peak_bytes is None else f"{quantity(timing.peak_bytes)}B"
        time = (f"{timing.milliseconds:.4g}", f"{timing.speedup:.2f}x")
        yield timing.what, timing.batch, timing.engine, *time, memory, percent(timing.limit_share)


def _write(network: Network, found: Bench, path: Path) -> None:
    import dataclasses
    import json

    from rarefy.paths import replacing

    content = {"config": network.config.model_dump(mode="json"), **dataclasses.asdict(found)}
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
