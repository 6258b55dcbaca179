"""What a network of a size loses by being sparse: the gap to dense, by depth and by width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rarefy.reports._study._blocks import Block, Figures, Fold, Section, Sheet, share, slug, spread
from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._study import DENSE, Cell, Study, by_method, dense_of
from rarefy.reports._study._tables import Column, Table
from rarefy.reports._study.accuracy import Size, by_size

_OPEN = 2  # densities that are shown without being asked for
_CAPTION = "Band: Welch's 95% interval of the difference, where both have two seeds or more."


def gap(study: Study) -> Section:
    """A figure a density: size across, accuracy minus dense accuracy up, a line a method."""
    about = (
        "Accuracy of a sparse network minus that of the dense one of the same size and training, in points. Below 0 it "
        "costs accuracy to be sparse; a line that rises to 0 with size says that larger networks lose less, the "
        "paper's claim."
    )
    blocks: list[Block] = []
    for size in ("depth", "width"):
        for heading, found in by_size(study, size).items():
            blocks += _series(study, size, heading, found)
    return Section("gap", "The gap to dense against size", about, blocks)


def _series(study: Study, size: Size, heading: str, found: Mapping[int, Sequence[Cell]]) -> list[Block]:
    figures = [_figure(study, size, heading, found, density) for density in study.densities]
    drawn = [figure for figure in figures if figure]
    if not drawn:
        return []
    rest = [Fold("Other densities", [Figures("", drawn[_OPEN:])])] if drawn[_OPEN:] else []
    return [Figures(heading, drawn[:_OPEN]), *rest, Fold("Table", [Sheet(_table(study, size, heading, found))])]


def _gaps(study: Study, found: Mapping[int, Sequence[Cell]]) -> dict[tuple[str, float], dict[int, tuple[float, ...]]]:
    """(method, density) -> size -> difference and, where it is known, the ends of its interval."""
    gaps: dict[tuple[str, float], dict[int, tuple[float, ...]]] = {}
    for size, cells in found.items():
        dense = dense_of(cells)
        if dense is None or "accuracy" not in dense.numbers:
            continue
        for cell in (cell for several in by_method(cells).values() for cell in several if "accuracy" in cell.numbers):
            difference = cell.numbers["accuracy"].mean - dense.numbers["accuracy"].mean
            gaps.setdefault((cell.method, cell.density), {})[size] = (difference, *_welch(study, cell, dense))
    return gaps


def _welch(study: Study, cell: Cell, dense: Cell) -> tuple[float, ...]:
    """The interval of a difference, where it was judged against this dense network."""
    table = next((table for table in study.judged if table.metric == "accuracy"), None)
    row = table.of(cell.name) if table else None
    return tuple(row["welch"]) if row and row["welch"] and row["baseline"] == dense.name else ()


def _figure(
    study: Study, size: Size, heading: str, found: Mapping[int, Sequence[Cell]], density: float
) -> Figure | None:
    series = []
    for (method, at), gaps in _gaps(study, found).items():
        if at == density:
            whole = all(len(gap) == 3 for gap in gaps.values())
            low, high = ([gap[end] for gap in gaps.values()] if whole else [] for end in (1, 2))
            differences = tuple(gap[0] for gap in gaps.values())
            told = (spread(difference, None, points=True, sign="+") for difference in differences)
            said = tuple(f"{method}, {size} {at}: {text} points" for at, text in zip(gaps, told, strict=True))
            bands = tuple(low), tuple(high)
            series.append(Series(method, study.style(method), tuple(gaps), differences, *bands, said))
    sizes = tuple(dict.fromkeys(at for one in series for at in one.x))
    if len(sizes) < 2:
        return None
    room = 1.06
    x = Axis(size, size, log=True, span=(min(sizes) / room, max(sizes) * room), ticks=tuple(sorted(sizes)))
    level = Series("dense", DENSE, (sizes[0],), (0.0,), said=("dense",), kind="level")
    y = Axis("accuracy minus dense, points", "difference", 100.0)
    name = slug("gap", heading.replace(":", ""), f"density {density:g}")
    return Figure(name, f"Gap to dense at {share(density)}", x, y, (level, *series), _CAPTION)


def _table(study: Study, size: Size, heading: str, found: Mapping[int, Sequence[Cell]]) -> Table:
    def say(gap: tuple[float, ...]) -> str:
        return spread(gap[0], (gap[2] - gap[1]) / 2 if gap[1] is not None else None, points=True, sign="+")

    ends = ("difference", "low", "high")
    columns = tuple(Column(f"{size} {n}", say, tuple(f"{n}_{end}" for end in ends)) for n in found)
    rows = [
        (method, density, *((*gaps[n], None, None)[:3] if n in gaps else None for n in found))
        for (method, density), gaps in sorted(_gaps(study, found).items(), key=lambda item: item[0][1])
    ]
    heads = (Column("method", words=True), Column("density", "{:g}".format))
    caption = f"Accuracy minus dense, points ± half of Welch's 95% interval. {heading}"
    return Table(slug("table-gap", heading.replace(":", "")), caption, (*heads, *columns), tuple(rows), heads=2)
