"""Accuracy against density: a panel a network, in the order of depth and of width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rarefy.reports._evaluation._blocks import Note
from rarefy.reports._study._blocks import Block, Figures, Fold, Section, Sheet, slug, spread
from rarefy.reports._study._curves import against_density
from rarefy.reports._study._study import Cell, Sample, Study, by_method, dense_of
from rarefy.reports._study._tables import Column, Table

Size = Literal["depth", "width"]
_OTHER: dict[Size, Size] = {"depth": "width", "width": "depth"}


def accuracy(study: Study) -> Section:
    """Panels by depth, by width, and of whatever has no sizes; the numbers as tables."""
    about = (
        "Test accuracy. A line a method (allocation of the weights, and how masks move, if they do), the mean over "
        "seeds; dense is the line across. The axis is the density, logarithmic and reversed: the sparser, the farther "
        "right, as papers draw it, and the sparse end, where networks differ, has the room."
    )
    groups: dict[str, list[str]] = {}
    for size in ("depth", "width"):
        for heading, found in by_size(study, size).items():
            groups[heading] = [cells[0].panel for cells in found.values()]
    placed = {panel for panels in groups.values() for panel in panels}
    others = [panel for panel in study.panels if panel not in placed]
    if others:
        groups["Networks" if not groups else "Other networks"] = others
    blocks: list[Block] = []
    for heading, panels in groups.items():
        drawn = (
            against_density(study, panel, "accuracy", "Accuracy", "test accuracy, %", points=True) for panel in panels
        )
        tables = [Sheet(wide(study.panels[panel], "accuracy", "Accuracy")) for panel in panels]
        figures = [figure for figure in drawn if figure]
        blocks += [Figures(heading, figures), Fold(f"Tables: {heading[0].lower()}{heading[1:]}", tables)]
    blocks.append(Fold("All groups", [Sheet(_long(study))]))
    return Section("accuracy", "Accuracy against density", about, [*blocks, *_published(study)])


def _published(study: Study) -> list[Block]:
    """How many published numbers there are, and of how many there was nothing to draw them over."""
    given, shown = len(study.published), len(study.shown)
    known = f"Of {given} published numbers {shown} are of networks that were run here"
    return [Note(f"{known}: the hollow marks, of whatever training.")] if given else []


def by_size(study: Study, size: Size) -> dict[str, dict[int, list[Cell]]]:
    """Panels that differ in one size only, by that size; two sizes at least."""
    found: dict[str, dict[int, list[Cell]]] = {}
    for cells in study.panels.values():
        first, other = cells[0], getattr(cells[0], _OTHER[size])
        at = getattr(first, size)
        if at is not None:
            fixed = f", {_OTHER[size]} {other}" if other is not None else ""
            found.setdefault(f"By {size}: {first.family}{fixed}, {first.where}", {})[at] = cells
    return {heading: dict(sorted(sizes.items())) for heading, sizes in found.items() if len(sizes) > 1}


def wide(cells: Sequence[Cell], metric: str, title: str, *, points: bool = True) -> Table:
    """A row a method, a column a density: mean and half its 95% interval."""
    densities = sorted({cell.density for cell in cells if not cell.dense}, reverse=True)
    dense, unit = dense_of(cells), ", %" if points else ""

    def say(found: tuple[float, float | None]) -> str:
        return spread(*found, points=points)

    def value(cell: Cell | None) -> tuple[float, float | None] | None:
        sample = cell.numbers.get(metric) if cell else None
        return (sample.mean, half(sample)) if sample else None

    heads = [("dense", "dense"), *((f"{100 * density:g}%", f"{density:g}") for density in densities)]
    columns = tuple(Column(head, say, (f"{name}_mean", f"{name}_half_interval")) for head, name in heads)
    rows = []
    for method, found in by_method(cells).items():
        at = {cell.density: cell for cell in found}
        rows.append((method, value(dense), *(value(at.get(density)) for density in densities)))
    rows = rows or [("dense", value(dense))]
    caption = f"{title}{unit}: {cells[0].panel}. Mean ± half of its 95% t interval over seeds; columns are densities"
    return Table(slug("table", metric, cells[0].panel), caption, (Column("method", words=True), *columns), tuple(rows))


def half(sample: Sample) -> float | None:
    """Half of the interval of the mean."""
    return (sample.interval[1] - sample.interval[0]) / 2 if sample.interval else None


def _long(study: Study) -> Table:
    rows = []
    for panel, cells in study.panels.items():
        for cell in cells:
            sample = cell.numbers.get("accuracy")
            if sample:
                ends = (min(sample.values), max(sample.values))
                numbers = ((sample.mean, half(sample)), sample.deviation, ends)
                rows.append((panel, cell.method, cell.density, len(sample.values), *numbers))

    def percent(value: float) -> str:
        return f"{100 * value:.2f}"

    columns = (
        Column("network", words=True),
        Column("method", words=True),
        Column("density", "{:g}".format),
        Column("seeds"),
        Column("accuracy, %", lambda found: spread(*found, points=True), ("mean", "half_interval")),
        Column("std, %", percent, ("std",)),
        Column("least to greatest, %", lambda ends: " to ".join(map(percent, ends)), ("least", "greatest")),
    )
    caption = "Test accuracy of every group: mean ± half of its 95% t interval, standard deviation over seeds"
    return Table("table-accuracy-all", caption, columns, tuple(rows), heads=2)
