"""Gradient flow: how much a loss moves the kept weights, and how many of them and of the units do anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Cell, Figure, Fold, Note, Section, Sheet, Table, arranged
from rarefy.reports._evaluation._rows import WIDTH, Mark, row_figure
from rarefy.reports._evaluation._runs import Run, having, lacking
from rarefy.reports._evaluation._svg import Panel, spanning

_WHEN = ("initial", "final")
_EPOCHS = "gradient_norm_kept"
_MOST_DOTS = 30
_SHAPES: tuple[Literal["hollow", "dot"], ...] = ("hollow", "dot")
_SCALARS = {
    "gradient_norm_initial": ("gradient_norm", "initial", "total"),
    "gradient_norm_final": ("gradient_norm", "final", "total"),
    "density": ("effective_density", "density"),
    "effective_density": ("effective_density", "effective_density"),
    "dead_units": ("dead_units", "fraction"),
    "top_eigenvalue": ("hessian", "eigenvalue"),
}

Layers = dict[str, list[tuple[Run, list[float | None]]]]  # layer -> runs with their initial and final norm


def flow(runs: Sequence[Run]) -> Section:
    """Gradient norm over epochs and by layer, effective density, dead units."""
    have, notes = having(runs, "flow", flags="")
    watched = [run for run in runs if run.history(_EPOCHS)]
    quiet = lacking([run for run in runs if run not in watched], watched, "rarefy train --diagnostics")
    layers, sliced = _layers(have), [run for run in have if _slice(run)]
    figures = [draw(some) for draw, some in ((_epochs, watched), (_by_layer, have), (_landscape, sliced)) if some]
    blocks = arranged(figures)
    blocks += [_table(have), Fold("Gradient norm by layer", [_layer_table(layers)])] if have else []
    blocks += [Note(note.text.replace("computed", "recorded by epoch"), note.command, "does.") for note in quiet]
    about = (
        "The gradient norm is the L2 norm of the loss's gradient over kept weights. Effective density counts the kept "
        "weights that lie on a path from an input to an output; a dead unit's rectifier is 0 on all images of a sample."
    )
    return Section("flow", "Gradient flow", about, [*blocks, *notes], _sheets(runs, have, layers), legend=True)


def _epochs(runs: Sequence[Run]) -> Figure:
    lines = [(run, run.history(_EPOCHS)) for run in runs]
    x = spanning("epoch", [epoch for _, points in lines for epoch, _ in points])
    y = spanning("gradient norm", [norm for _, points in lines for _, norm in points], log=True)
    panel = Panel(x, y, width=WIDTH, height=320)
    for run, points in lines:
        shown = [point for point in points if point[1] > 0]
        if shown:
            panel.line(shown, run.group, run.label)
        if len(shown) <= _MOST_DOTS:
            panel.dots(shown, run.group, [f"{run.label}, epoch {at:g}: {words.number(norm)}" for at, norm in shown])
    said = [f"{run.label} {words.number(found[0][1])} to {words.number(found[-1][1])}" for run, found in lines]
    alt = f"Norm of the gradient over kept weights by epoch: {'; '.join(said)}."
    caption = "Over kept weights, of each epoch's last batch."
    return Figure("Gradient norm over the epochs", panel.svg(alt), caption, "gradient_norm")


def _slice(run: Run) -> list[tuple[float, float]]:
    """The loss along a line through the weights, if it was computed; a plane is not drawn."""
    return [(at, loss) for at, loss in run.rows("flow", "landscape", of=("at", "loss"))]


def _landscape(runs: Sequence[Run]) -> Figure:
    lines = [(run, points) for run in runs if (points := _slice(run))]
    x = spanning("distance, in lengths of the weights", [at for _, points in lines for at, _ in points])
    y = spanning("loss", [loss for _, points in lines for _, loss in points], zero=True)
    panel = Panel(x, y, width=WIDTH, height=320)
    for run, points in lines:
        panel.line(points, run.group, run.label)
    said = [f"{run.label} {words.number(min(loss for _, loss in points))} at least" for run, points in lines]
    alt = f"Loss along a random line through the weights: {'; '.join(said)}."
    return Figure("Loss landscape", panel.svg(alt), "Along a random direction, scaled filter by filter.", "landscape")


def _table(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = []
    for run in runs:
        norms = [words.number(run.test("flow", "gradient_norm", when, "total")) for when in _WHEN]
        densities = [run.test("flow", "effective_density", name) for name in ("density", "effective_density")]
        dead = run.test("flow", "dead_units") or {}
        units = f"{words.percent(dead.get('fraction'))} of {words.whole(dead.get('units'))}"
        shown = [words.number(value) for value in densities]
        rows.append([run.head, *norms, *shown, units, words.number(run.test("flow", "hessian", "eigenvalue"))])
    columns = ["run", "norm, initial", "norm, final", "density", "effective density", "dead units", "top eigenvalue"]
    if all(run.test("flow", "hessian") is None for run in runs):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table("Gradient norm, effective density and dead units", columns, rows, sheet="flow")


def _layers(runs: Sequence[Run]) -> Layers:
    found: Layers = {}
    for run in runs:
        norms = [run.test("flow", "gradient_norm", when, "layers") or {} for when in _WHEN]
        for name in dict.fromkeys(name for layers in norms for name in layers):
            found.setdefault(name, []).append((run, [layers.get(name) for layers in norms]))
    return found


def _by_layer(runs: Sequence[Run]) -> Figure:
    found = _layers(runs)
    names = [name.removesuffix(".weight") for name in found]
    marks = [
        Mark(row, norm, run.group, f"{run.label}, {names[row]}, {when}: {words.number(norm)}", shape)
        for row, rows in enumerate(found.values())
        for run, norms in rows
        for when, norm, shape in zip(_WHEN, norms, _SHAPES, strict=True)
        if norm
    ]
    axis = spanning("gradient norm", [mark.value for mark in marks], log=True)
    alt = f"Gradient norm of {len(names)} layers before and after training; the numbers are in a table below."
    caption = "Hollow: before training. Filled: after it. A norm of 0 has no place on this axis."
    sheet = "gradient_norm_by_layer"
    return row_figure("Gradient norm by layer", names, marks, axis, alt=alt, caption=caption, sheet=sheet)


def _layer_table(layers: Layers) -> Table:
    rows: list[list[Cell]] = [
        [name, run.head, *(words.number(norm) for norm in norms)]
        for name, found in layers.items()
        for run, norms in found
    ]
    columns = ["layer", "run", *_WHEN]
    return Table("Gradient norm by layer", columns, rows, heads=2, sheet="gradient_norm_by_layer")


def _sheets(runs: Sequence[Run], have: Sequence[Run], layers: Layers) -> list[Sheet]:
    epochs = [[run.name, run.id, int(at), norm] for run in runs for at, norm in run.history(_EPOCHS)]
    norms = [[run.name, run.id, name, *pair] for name, found in layers.items() for run, pair in found]
    slices = [[run.name, run.id, at, loss] for run in have for at, loss in _slice(run)]
    rows = [[run.name, run.id, *(run.test("flow", *path) for path in _SCALARS.values())] for run in have]
    return [
        Sheet("gradient_norm", ["name", "id", "epoch", _EPOCHS], epochs),
        Sheet("gradient_norm_by_layer", ["name", "id", "layer", *_WHEN], norms),
        Sheet("landscape", ["name", "id", "at", "loss"], slices),
        Sheet("flow", ["name", "id", *_SCALARS], rows),
    ]
