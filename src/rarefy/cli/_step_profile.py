"""`rarefy bench --profile`: a training step by kind of work and layer, as tables and as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rarefy.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.benchmarking import ProfilePart, StepProfile
    from rarefy.pipeline import Network


def profile_step(
    network: Network, batches: list[int], rounds: int, *, quiet: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Profiles training steps, prints the tables and returns plain values, one row per layer and kind."""
    from rarefy.benchmarking import profile
    from rarefy.cli._console import console

    if len(batches) > 1:
        raise InvalidInput(f"--batches: a profile is of one batch size, not of {len(batches)}.")
    if not quiet:
        console().print(f"profiling {rounds} training steps of {batches[0]} images")
    result = profile(network.model, network.sparsity, network.shape, batch=batches[0], rounds=rounds)
    _show(console(), network, result)
    content = {"config": network.config.model_dump(mode="json"), **dataclasses.asdict(result)}
    return content, content["layers"]


def _show(screen: Console, network: Network, result: StepProfile) -> None:
    from rarefy.cli._console import percent, table

    sparsity, config = network.sparsity, network.config
    screen.print(
        f"{config.model.name}, {config.allocation.name}, density {percent(sparsity.kept / sparsity.total)}, batch "
        f"{result.batch}, {result.threads} thread(s) of {result.machine}"
    )
    columns = ["kind of work", "ms", "share", "kept GFLOP/s", "MB", "GB/s"]
    screen.print(table(None, columns, _format_kinds(result.kinds)))
    kinds = [part.kind for part in result.kinds if any(row.layer for row in result.layers if row.kind == part.kind)]
    screen.print(table("milliseconds", ["layer", *kinds, "total"], _format_layers(result, kinds)))
    screen.print(
        f"a step takes {result.milliseconds:.4g} ms, the profiled one, of which these are the parts, "
        f"{result.profiled_milliseconds:.4g} ms"
    )


def _format_kinds(parts: tuple[ProfilePart, ...]) -> Iterator[tuple[str, ...]]:
    from rarefy.cli._console import percent

    for part in parts:
        numbers = (part.gigaflops, part.megabytes, part.gigabytes_per_second)
        yield part.kind, f"{part.milliseconds:.4g}", percent(part.share), *map(_format_number, numbers)


def _format_layers(result: StepProfile, kinds: list[str]) -> Iterator[tuple[str, ...]]:
    for name in dict.fromkeys(part.layer for part in result.layers):
        times = {part.kind: part.milliseconds for part in result.layers if part.layer == name}
        cells = (_format_number(times.get(kind, 0.0)) for kind in kinds)
        yield name or "no layer", *cells, _format_number(sum(times.values()))


def _format_number(number: float) -> str:
    return f"{number:.3g}" if number >= 0.005 else "-"  # less is shown as nothing
