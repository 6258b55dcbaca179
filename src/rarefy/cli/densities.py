"""Show how many weights each layer would keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from rarefy.pipeline import LayerCost

EXAMPLES = (
    "rarefy densities cifar_resnet_20 --sparse-init erk --density 0.1\n\n"
    "rarefy densities torchvision/wide_resnet50_2 --sparse-init erk_plus --density 0.2 --classes 1000 --size 224\n\n"
    "Needs no data. FLOPs are of one image's forward pass, 2 per multiply-add."
)


def command(
    model: Annotated[str, typer.Argument(help="Model, as for `rarefy train --model`.")],
    sparse_init: Annotated[str, typer.Option("--sparse-init", help="Allocation.")] = "erk",
    density: Annotated[float, typer.Option("--density", help="Fraction of weights kept, in (0, 1].")] = 0.05,
    fc_density: Annotated[float | None, typer.Option("--fc-density", help="Density of the classifier.")] = None,
    classes: Annotated[int, typer.Option("--classes", min=1, help="Classes.")] = 10,
    channels: Annotated[int, typer.Option("--channels", min=1, help="Channels of an image.")] = 3,
    size: Annotated[int, typer.Option("--size", min=1, help="Height and width of an image.")] = 32,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="Any setting: --set allocation.x=1")] = None,
) -> None:
    """Prints the table."""
    from rarefy.cli._console import console
    from rarefy.config import build_config

    flags = {"model": model, "sparse": True, "fix": True, "sparse_init": sparse_init, "density": density}
    config = build_config({**flags, "fc_density": fc_density}, assignments=assignments or ())

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
