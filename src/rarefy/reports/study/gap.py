"""The gap to dense against size: what networks of different depth and width lose by being sparse."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from rarefy.reports.figures import DENSE, Axis, Figure, Series
from rarefy.reports.pages import (
    Block,
    Column,
    Figures,
    Fold,
    Label,
    Section,
    Table,
    format_density,
    format_mean,
    format_share,
    make_file_name,
)
from rarefy.reports.study._study import RunGroup, Study, find_dense, group_by_method
from rarefy.reports.study.accuracy import Size, group_by_size

_MOST_DRAWN = 2  # of the lowest densities; the table has all
_CAPTION = "Band: Welch's 95% interval of the difference."

Sizes = Mapping[int, Sequence[RunGroup]]


def build_section(study: Study) -> Section:
    """Builds the section: one figure per density of accuracy minus dense accuracy against size."""
    about = (
        "Accuracy of a sparse network minus that of the dense one of the same size and training, in points. Below 0, "
        "sparsity costs accuracy; a line that rises to 0 with size says that larger networks lose less, which is the "
        "paper's claim. Drawn at the two lowest densities; the tables have all."
    )
    blocks: list[Block] = []
    for size in ("depth", "width"):
        for heading, sizes in group_by_size(study, size).items():
            blocks += _build_blocks(study, size, heading, sizes)
    return Section("gap", "The gap to dense against size", about, blocks)


def _build_blocks(study: Study, size: Size, heading: str, sizes: Sizes) -> list[Block]:
    all_figures = (_draw_gaps(study, size, heading, sizes, density) for density in study.densities)
    figures = list(itertools.islice((figure for figure in all_figures if figure), _MOST_DRAWN))
    if not figures:
        return []
    return [Figures(heading, figures), Fold("Table", [_build_table(study, size, heading, sizes)])]


def _compute_gaps(study: Study, sizes: Sizes) -> dict[tuple[str, float], dict[int, tuple[float, ...]]]:
    """Computes (method, density) -> size -> difference, with the ends of its interval where it is known."""
    gaps: dict[tuple[str, float], dict[int, tuple[float, ...]]] = {}
    for size, groups in sizes.items():
        dense = find_dense(groups)
        if dense is None or "accuracy" not in dense.numbers:
            continue
        for group in (group for several in group_by_method(groups).values() for group in several):
            if "accuracy" in group.numbers:
                difference = group.numbers["accuracy"].mean - dense.numbers["accuracy"].mean
                interval = _find_interval(study, group, dense)
                gaps.setdefault((group.method, group.density), {})[size] = (difference, *interval)
    return gaps


def _find_interval(study: Study, group: RunGroup, dense: RunGroup) -> tuple[float, ...]:
    """Finds Welch's interval of a difference, if it was tested against this dense network."""
    verdicts = study.accuracy_verdicts
    row = verdicts.find_row(group.name) if verdicts else None
    return tuple(row["welch"]) if row and row["welch"] and row["baseline"] == dense.name else ()


def _draw_gaps(study: Study, size: Size, heading: str, sizes: Sizes, density: float) -> Figure | None:
    series = []
    for (method, at), gaps in _compute_gaps(study, sizes).items():
        if at == density:
            has_intervals = all(len(gap) == 3 for gap in gaps.values())
            low, high = (tuple(gap[end] for gap in gaps.values()) if has_intervals else () for end in (1, 2))
            differences = tuple(gap[0] for gap in gaps.values())
            texts = (format_mean(difference, None, points=True, sign="+") for difference in differences)
            tips = tuple(f"{method}, {size} {at}: {text} points" for at, text in zip(gaps, texts, strict=True))
            series.append(Series(method, study.styles[method], tuple(gaps), differences, low, high, tips))
    ticks = tuple(sorted({value for one in series for value in one.x}))
    if len(ticks) < 2:
        return None
    margin = 1.06
    x = Axis(size, size, log=True, span=(ticks[0] / margin, ticks[-1] * margin), ticks=ticks)
    level = Series("dense", DENSE, ticks[:1], (0.0,), tips=("dense",), kind="level")
    y = Axis("accuracy minus dense, points", "difference", 100.0)
    caption = _CAPTION if any(one.low for one in series) else ""
    name = make_file_name("gap", heading.replace(":", ""), f"density {density:g}")
    return Figure(name, f"Gap to dense at {format_density(density)}", x, y, (level, *series), caption)


def _build_table(study: Study, size: Size, heading: str, sizes: Sizes) -> Table:
    def format_gap(gap: tuple[float, ...]) -> str:
        return format_mean(gap[0], (gap[2] - gap[1]) / 2 if gap[1] is not None else None, points=True, sign="+")

    ends = ("difference", "low", "high")
    columns = (Column(f"{size} {n}", format_gap, tuple(f"{n}_{end}" for end in ends)) for n in sizes)
    rows = [
        (
            Label(method, study.styles[method]),
            density,
            *((*gaps[n], None, None)[:3] if n in gaps else None for n in sizes),
        )
        for (method, density), gaps in sorted(_compute_gaps(study, sizes).items(), key=lambda item: item[0][1])
    ]
    heads = (Column("method", is_text=True), Column("density", format_share))
    caption = f"Accuracy minus dense, points ± half of Welch's 95% interval. {heading}"
    return Table(make_file_name("table-gap", heading.replace(":", "")), caption, (*heads, *columns), rows, heads=2)
