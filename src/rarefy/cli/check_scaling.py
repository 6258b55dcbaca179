"""Check whether outputs and their changes have one size at all densities."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.errors import InvalidInput
from rarefy.flags import CHANNELS, CLASSES, CSV, QUIET, SIZE, Flag
from rarefy.registry import parse_number

if TYPE_CHECKING:
    from torch import nn

    from rarefy.benchmarking import LayerCoordinates, Trial

EXAMPLES = (
    "rarefy check-scaling mlp_512_512_512 --optimizer sgd\n\n"
    "rarefy check-scaling cifar_resnet_20_32 --exclude fc --figure check.svg\n\n"
    "rarefy check-scaling mlp_64_64 --scalings mup,supar --widths 64,256\n\n"
    "Trains a few steps on one batch of made-up images; needs no data. A slope of 0 is flat, one of 1 proportional."
)
_RATES = {"adam": 1e-3, "sgd": 0.02}
_IMAGES = 32

OPTIONS = (
    Flag(("--optimizer",), "", str, "adam or sgd.", default="adam"),
    Flag(("--lr",), "", float, "Learning rate; default: 0.001 for adam, 0.02 for sgd.", minimum=0),
    Flag(("--scalings",), "", str, "Scalings with commas: {scaling.SCALINGS}.", default="none,supar"),
    Flag(("--densities",), "", str, "Densities with commas.", default="1,1/4,1/16,1/64"),
    Flag(("--widths",), "", str, "Widths with commas, the first one the base width; default: the model's own."),
    Flag(("--sparse-init",), "", str, "Allocation: {allocation.ALLOCATIONS}.", default="uniform"),
    Flag(("--exclude",), "", list, "Layers that stay dense, as globs; can be repeated."),
    Flag(("--steps",), "", int, "Optimizer steps.", default=5, minimum=1),
    Flag(("--seeds",), "", int, "Networks and masks to average over.", default=2, minimum=1),
    CLASSES,
    CHANNELS,
    dataclasses.replace(SIZE, default=8),
    dataclasses.replace(CSV, help="Also write every size to this CSV file."),
    Flag(("--figure",), "", Path, "Also draw the changes: a file .svg, .png or .pdf."),
    QUIET,
)


@add_flags(OPTIONS, into="flags")
def command(
    model: Annotated[str, typer.Argument(help="Model, as for `rarefy train --model`.")], *, flags: dict[str, Any]
) -> None:
    """Checks, prints the slopes and writes files."""
    from rarefy.cli._console import console

    densities = [_parse("--densities", word, parse_number) for word in _split(flags["densities"])]
    widths = [_parse("--widths", word, int) for word in _split(flags["widths"] or "")]
    if flags["optimizer"] not in _RATES:
        raise InvalidInput(f"--optimizer cannot be {flags['optimizer']!r}: it is adam or sgd.", name="--optimizer")
    drawn = flags["figure"].suffix.lstrip(".") if flags["figure"] else "svg"
    if drawn not in ("svg", "png", "pdf"):
        raise InvalidInput(f"--figure cannot be {str(flags['figure'])!r}: it ends in .svg, .png or .pdf.")

    import_torch()
    from rarefy.benchmarking import check_scaling

    screen = console()
    coordinates = check_scaling(
        _choose_builder(model, flags),
        _make_trial(flags),
        scalings=_split(flags["scalings"]),
        densities=densities,
        widths=widths,
        progress=(lambda what: None) if flags["quiet"] else screen.print,
    )
    if len(densities) > 1:
        _show(coordinates, model, "density")
    if len(widths) > 1:
        _show(coordinates, model, "width")
    _write(coordinates, flags["csv_file"], flags["figure"], drawn)


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _parse(flag: str, word: str, read: Any) -> Any:
    try:
        return read(word)
    except ValueError:
        raise InvalidInput(f"{flag} cannot have {word!r}: give numbers with commas.", name=flag, value=word) from None


def _choose_builder(name: str, flags: dict[str, Any]) -> Any:
    """Chooses the function that builds the model for `rarefy.benchmarking.check_scaling`."""
    import torch

    from rarefy import models

    model, size = models.parse(name), (flags["size"], flags["size"])

    def build(width: int | None, seed: int) -> nn.Module:
        chosen = model if width is None else models.change_width(model, width)
        generator = torch.Generator().manual_seed(seed)
        given = {"in_channels": flags["channels"], "classes": flags["classes"], "size": size}
        return models.build(chosen, **given, generator=generator)

    return build


def _make_trial(flags: dict[str, Any]) -> Trial:
    """Makes a batch of smooth images: neighbouring pixels are alike, as in photographs."""
    import torch

    from rarefy.benchmarking import Trial

    generator = torch.Generator().manual_seed(17)
    coarse = torch.randn(_IMAGES, flags["channels"], 2, 2, generator=generator)
    return Trial(
        torch.nn.functional.interpolate(coarse, size=(flags["size"], flags["size"]), mode="bilinear"),
        torch.randint(flags["classes"], (_IMAGES,), generator=generator),
        flags["optimizer"],
        _RATES[flags["optimizer"]] if flags["lr"] is None else flags["lr"],
        steps=flags["steps"],
        seeds=flags["seeds"],
        allocation=flags["sparse_init"],
        exclude=tuple(flags["exclude"] or ()),
    )


def _show(coordinates: list[LayerCoordinates], model: str, by: Literal["density", "width"]) -> None:
    from rarefy.benchmarking import fit_slopes
    from rarefy.cli._console import console, table

    slopes = fit_slopes(coordinates, by=by)
    names = list(dict.fromkeys(entry.scaling for entry in slopes))
    by_layer = {layer: {e.scaling: e for e in slopes if e.layer == layer} for layer in {e.layer: 0 for e in slopes}}
    columns = ["layer", *(f"{name}: {what}" for name in names for what in ("outputs", "changes"))]
    rows = [
        [layer, *(f"{value:+.2f}" for name in names for value in (found[name].size, found[name].change))]
        for layer, found in by_layer.items()
    ]
    console().print(table(f"{model}: slopes with {by}", columns, rows))


def _write(coordinates: list[LayerCoordinates], csv_file: Path | None, figure: Path | None, drawn: str) -> None:
    from rarefy.paths import replace_file

    if csv_file is not None:
        from rarefy.reports import format_csv

        columns = ["scaling", "density", "width", "layer", "step", "size", "change"]
        rows = [
            [e.scaling, e.density, e.width, e.layer, step, e.size, change]
            for e in coordinates
            for step, change in enumerate(e.changes, start=1)
        ]
        with replace_file(csv_file) as partial:
            partial.write_text(format_csv(columns, rows), encoding="utf-8")
    if figure is not None:
        from rarefy.benchmarking import build_coordinate_figure
        from rarefy.reports.figures import draw_files

        with replace_file(figure) as partial:
            partial.write_bytes(draw_files(build_coordinate_figure(coordinates), [drawn])[drawn])
