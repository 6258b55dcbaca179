"""Print how many weights each layer of a model keeps, with FLOPs; no data is needed."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = (
    "rarefy densities cifar_resnet_20 --sparse-init erk --density 0.1\n\n"
    "rarefy densities torchvision/wide_resnet50_2 --sparse-init erk_plus --density 0.2 --classes 1000 --size 224"
)


def command(
    model: Annotated[str, typer.Argument(help="Model, as for `rarefy train --model`.")],
    sparse_init: Annotated[str, typer.Option("--sparse-init", help="Allocation.")] = "erk",
    density: Annotated[float, typer.Option("--density", help="Fraction of weights kept, in (0, 1].")] = 0.05,
    fc_density: Annotated[
        float | None, typer.Option("--fc-density", help="Density of the classifier (erk_plus).")
    ] = None,
    classes: Annotated[int, typer.Option("--classes", min=1, help="Classes.")] = 10,
    channels: Annotated[int, typer.Option("--channels", min=1, help="Channels of an image.")] = 3,
    size: Annotated[int, typer.Option("--size", min=1, help="Height and width of an image.")] = 32,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: --set allocation.fc_density=0.5")
    ] = None,
) -> None:
    """Prints the table."""
    from rarefy.cli._console import console, percent, quantity, table
    from rarefy.config import from_flags

    flags = {
        "model": model,
        "sparse": True,
        "fix": True,
        "sparse_init": sparse_init,
        "density": density,
        "fc_density": fc_density,
    }
    config = from_flags(flags, assignments=assignments or ())

    from rarefy.run import densities

    layers = densities(config, in_channels=channels, classes=classes, size=(size, size))
    rows = [
        (
            x.name,
            "x".join(map(str, x.shape)),
            f"{x.kept:,}",
            percent(x.density),
            quantity(x.flops),
            quantity(x.flops * x.density),
        )
        for x in layers
    ]
    total = sum(x.total for x in layers)
    kept = sum(x.kept for x in layers)
    dense, sparse = sum(x.flops for x in layers), sum(x.flops * x.density for x in layers)
    totals = (
        "total",
        f"{total:,}",
        f"{kept:,}",
        percent(kept / total),
        quantity(dense),
        f"{quantity(sparse)} ({sparse / dense:.3f}x)",
    )
    title = (
        f"{config.model.name}, {config.allocation.name}, density {config.density:g}; "
        "FLOPs of one image's forward pass, 2 per multiply-add"
    )
    console().print(
        table(title, ("layer", "shape", "kept", "density", "FLOPs dense", "FLOPs kept"), rows, totals=totals)
    )
