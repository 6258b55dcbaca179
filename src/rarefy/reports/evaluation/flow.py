"""Gradient flow: gradient norms, effective density and dead units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rarefy.reports.evaluation._page_runs import PageRun, average_seeds, note_missing, select_runs
from rarefy.reports.figures import Axis, Figure, Mark, Series, Sheet, build_row_figure, fit_axis
from rarefy.reports.pages import (
    Fold,
    Note,
    Section,
    Table,
    arrange_figures,
    format_count,
    format_number,
    format_percent,
    make_columns,
)

_WHEN = ("initial", "final")
_EPOCHS = "gradient_norm_kept"
_MOST_DOTS = 30
_KINDS: tuple[Literal["hollow", "dots"], ...] = ("hollow", "dots")
_SCALARS = {
    "gradient_norm_initial": ("gradient_norm", "initial", "total"),
    "gradient_norm_final": ("gradient_norm", "final", "total"),
    "density": ("effective_density", "density"),
    "effective_density": ("effective_density", "effective_density"),
    "dead_units": ("dead_units", "fraction"),
    "top_eigenvalue": ("hessian", "eigenvalue"),
}

Layers = dict[str, list[tuple[PageRun, list[float | None]]]]  # layer -> runs with their initial and final norm


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: gradient norm over epochs and by layer, effective density, dead units."""
    selected, notes = select_runs(runs, "flow", flags="")
    watched = [run for run in runs if run.history(_EPOCHS)]
    unwatched = [run for run in runs if run not in watched]
    layers, sliced = _read_layers(selected), [run for run in selected if _read_slice(run)]
    figures = [_draw_epochs(watched)] if watched else []
    figures += [_draw_layers(layers)] if selected else []
    figures += [_draw_landscape(sliced)] if sliced else []
    blocks = arrange_figures(figures)
    if selected:
        blocks += [_build_table(selected), Fold("Gradient norm by layer", [_build_layers(layers)])]
    for note in note_missing(unwatched, watched, "rarefy train --diagnostics"):
        blocks.append(Note(note.text.replace("computed", "recorded by epoch"), note.command, "does."))
    about = (
        "The gradient norm is the L2 norm of the loss's gradient over kept weights. Effective density counts the kept "
        "weights on a path from an input to an output. The ReLU of a dead unit is 0 for all images that were looked at."
    )
    return Section("flow", "Gradient flow", about, [*blocks, *notes])


def _draw_lines(
    name: str, title: str, x: Axis, y: Axis, lines: Sequence[tuple[PageRun, Sequence[tuple[float, float]]]], *,
    caption: str, description: str,
) -> Figure:  # fmt: skip
    """Describes a figure of one line per name, the mean over its runs, with marks where there are few points."""
    series, by_run = [], {run.id: points for run, points in lines}
    for line in average_seeds([run for run, _ in lines], lambda run: by_run[run.id]):
        tips = tuple(f"{line.label}, {x.name} {at:g}: {format_number(value)}" for at, value in line.points)
        xs, ys = zip(*line.points, strict=True)
        kind: Literal["line", "curve"] = "line" if len(line.points) <= _MOST_DOTS else "curve"
        series.append(Series(line.label, line.style, xs, ys, tips=tips, kind=kind))
    rows = [[run.name, run.id, at, value] for run, points in lines for at, value in points]
    sheet = Sheet(name, ["name", "id", x.name, y.name], rows)
    return Figure(name, title, x, y, tuple(series), caption, description, sheet)


def _draw_epochs(runs: Sequence[PageRun]) -> Figure:
    lines = [(run, [(int(epoch), norm) for epoch, norm in run.history(_EPOCHS)]) for run in runs]
    y = fit_axis("gradient norm", _EPOCHS, [norm for _, points in lines for _, norm in points], log=True)
    ends = [f"{run.label} {format_number(p[0][1])} to {format_number(p[-1][1])}" for run, p in lines]
    return _draw_lines(
        "gradient_norm", "Gradient norm over the epochs", Axis("epoch", "epoch"), y, lines,
        caption="Over kept weights, of the last batch of each epoch.",
        description=f"Norm of the gradient over kept weights by epoch: {'; '.join(ends)}.",
    )  # fmt: skip


def _read_slice(run: PageRun) -> list[tuple[float, float]]:
    """Reads the loss along a line through the weights, if it was computed; a plane is not drawn."""
    return [(at, loss) for at, loss in run.rows("flow", "landscape", columns=("at", "loss"))]


def _draw_landscape(runs: Sequence[PageRun]) -> Figure:
    lines = [(run, _read_slice(run)) for run in runs]
    y = fit_axis("loss", "loss", [loss for _, points in lines for _, loss in points], zero=True)
    least = [f"{run.label} {format_number(min(loss for _, loss in points))} at least" for run, points in lines]
    return _draw_lines(
        "landscape", "Loss landscape", Axis("distance, in norms of the weights", "at"), y, lines,
        caption="Along a random direction, scaled filter by filter.",
        description=f"Loss along a random line through the weights: {'; '.join(least)}.",
    )  # fmt: skip


def _build_table(runs: Sequence[PageRun]) -> Table:
    rows = []
    for run in runs:
        norms = [format_number(run.test("flow", "gradient_norm", when, "total")) for when in _WHEN]
        names = ("density", "effective_density")
        densities = [format_number(run.test("flow", "effective_density", name)) for name in names]
        dead = run.test("flow", "dead_units") or {}
        units = f"{format_percent(dead.get('fraction'))} of {format_count(dead.get('units'))}"
        rows.append([run.head, *norms, *densities, units, format_number(run.test("flow", "hessian", "eigenvalue"))])
    heads = ["run", "norm, initial", "norm, final", "density", "effective density", "dead units", "top eigenvalue"]
    shown = len(heads) if any(run.test("flow", "hessian") for run in runs) else len(heads) - 1
    columns, rows = make_columns(*heads[:shown]), [row[:shown] for row in rows]
    values = [[run.name, run.id, *(run.test("flow", *path) for path in _SCALARS.values())] for run in runs]
    sheet = Sheet("flow", ["name", "id", *_SCALARS], values)
    return Table("", "Gradient norm, effective density and dead units", columns, rows, sheet=sheet)


def _read_layers(runs: Sequence[PageRun]) -> Layers:
    layers: Layers = {}
    for run in runs:
        norms = [run.test("flow", "gradient_norm", when, "layers") or {} for when in _WHEN]
        for name in dict.fromkeys(name for by_name in norms for name in by_name):
            layers.setdefault(name, []).append((run, [by_name.get(name) for by_name in norms]))
    return layers


def _draw_layers(layers: Layers) -> Figure:
    names = [name.removesuffix(".weight") for name in layers]
    marks = [
        Mark(
            row, norm, run.style, f"{run.label}, {when}", f"{run.label}, {names[row]}, {when}: {format_number(norm)}",
            kind,
        )
        for row, members in enumerate(layers.values())
        for run, norms in members
        for when, norm, kind in zip(_WHEN, norms, _KINDS, strict=True)
        if norm
    ]  # fmt: skip
    axis = fit_axis("gradient norm", "gradient_norm", [mark.value for mark in marks], log=True)
    return build_row_figure(
        "gradient_norm_by_layer", "Gradient norm by layer", names, marks, axis, sheet=_list_layers(layers),
        caption="Hollow: before training. Filled: after it. A norm of 0 has no place on this axis.",
        description=f"Gradient norm of {len(names)} layers before and after training; the numbers are in a table.",
    )  # fmt: skip


def _build_layers(layers: Layers) -> Table:
    rows = [
        [name, run.head, *(format_number(norm) for norm in norms)]
        for name, members in layers.items()
        for run, norms in members
    ]
    columns = make_columns("layer", "run", *_WHEN, texts=2)
    return Table("", "Gradient norm by layer", columns, rows, heads=2, sheet=_list_layers(layers))


def _list_layers(layers: Layers) -> Sheet:
    rows = [[run.name, run.id, name, *norms] for name, members in layers.items() for run, norms in members]
    return Sheet("gradient_norm_by_layer", ["name", "id", "layer", *_WHEN], rows)
