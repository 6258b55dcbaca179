"""Show how many weights each layer would keep."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.flags import CHANNELS, CLASSES, FLAGS, SET, SIZE

if TYPE_CHECKING:
    from rich.table import Table

    from rarefy.pipeline import LayerCost

EXAMPLES = (
    "rarefy densities cifar_resnet_20 --sparse-init erk --density 0.1\n\n"
    "rarefy densities torchvision/wide_resnet50_2 --sparse-init erk_plus --density 0.2 --classes 1000 --size 224\n\n"
    "Needs no data. FLOPs are of one image's forward pass, 2 per multiply-add."
)


_DEFAULTS = {"sparse_init": "erk", "density": 0.05}
OPTIONS = (
    *(
        dataclasses.replace(flag, default=_DEFAULTS.get(flag.name))
        for flag in FLAGS
        if flag.name in ("sparse_init", "density", "fc_density", "connect", "initialiser")
    ),
    CLASSES,
    CHANNELS,
    SIZE,
    SET,
)


@add_flags(OPTIONS)
def command(
    model: Annotated[str, typer.Argument(help="Model, as for `rarefy train --model`.")],
    *,
    sparse_init: str,
    density: float,
    fc_density: float | None,
    connect: bool,
    initialiser: str | None,
    classes: int,
    channels: int,
    size: int,
    assignments: list[str] | None,
) -> None:
    """Prints the table."""
    from rarefy.cli._console import console
    from rarefy.config import build_config

    flags = {"model": model, "sparse": True, "fix": True, "sparse_init": sparse_init, "density": density}
    flags |= {"fc_density": fc_density, "connect": connect, "initialiser": initialiser}
    config = build_config(flags, assignments=assignments or ())

    import_torch()
    from rarefy.pipeline import compute_densities

    layers = compute_densities(config, in_channels=channels, classes=classes, size=(size, size))
    console().print(_table(f"{model}, {config.allocation.name}, density {config.density:g}", layers))


def _table(title: str, layers: list[LayerCost]) -> Table:
    from rarefy.cli._console import percent, quantity, table

    columns = ("layer", "shape", "kept", "density", "FLOPs dense", "FLOPs kept")
    rows = [
        (
            layer.name,
            "x".join(map(str, layer.shape)),
            f"{layer.kept:,}",
            percent(layer.density),
            quantity(layer.flops),
            quantity(layer.flops * layer.density),
        )
        for layer in layers
    ]
    total, kept = sum(layer.total for layer in layers), sum(layer.kept for layer in layers)
    dense, sparse = sum(layer.flops for layer in layers), sum(layer.flops * layer.density for layer in layers)
    flops = (quantity(dense), f"{quantity(sparse)} ({sparse / dense:.3f}x)")
    return table(title, columns, rows, totals=("total", f"{total:,}", f"{kept:,}", percent(kept / total), *flops))
