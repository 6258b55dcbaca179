"""Is it the same? The verdicts of `rarefy compare`, metric by metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rarefy.reports._evaluation._blocks import Note
from rarefy.reports._study._blocks import Block, Fold, Section, Sheet, slug, spread
from rarefy.reports._study._study import Judged, Study
from rarefy.reports._study._tables import Column, Table

Row = Mapping[str, Any]


def verdicts(study: Study) -> Section:
    """How often each verdict was given, and a table a metric; accuracy is open."""
    about = (
        "Two one-sided tests at 5%: yes, the 90% interval of the difference lies inside the margin; no, it lies "
        "outside; cannot tell, it crosses the margin, and with these seeds nobody knows. Nothing is corrected for the "
        "number of comparisons. Seeds needed: seeds a group with which the test would decide in 4 of 5 cases, were "
        "what is seen the truth."
    )
    tables = {judged.metric: Sheet(_table(judged)) for judged in study.judged}
    first = tables.pop("accuracy", None)
    blocks: list[Block] = [Sheet(_count(study))] if study.judged else []
    if first:
        blocks.append(Fold("Accuracy", [first], open=len(first.table.rows) <= _MOST_ROWS))
    if tables:
        blocks.append(Fold("Other metrics", list(tables.values())))
    notes: list[Block] = [Note(text) for text in study.notes]
    if sum(map(len, study.notes)) > _MOST_LETTERS:
        notes = [Fold("Notes", notes)]
    return Section("verdicts", "Is it the same?", about, [*blocks, *notes])


_MOST_ROWS, _MOST_LETTERS = 60, 600  # that are shown without being asked for


def _titled(judged: Judged) -> str:
    scale, unit = (100, " points") if judged.points else (1, "")
    within = f", margin {scale * judged.margin:g}{unit}" if judged.margin is not None else ", without a margin"
    return judged.metric + within


def _count(study: Study) -> Table:
    """How often each verdict was given."""
    words = ("yes", "no", "cannot tell")
    rows = tuple(
        (_titled(judged), *(sum(row["verdict"] == word for row in judged.rows) for word in words))
        for judged in study.judged
        if judged.margin is not None
    )
    columns = (Column("metric", words=True), *(Column(word) for word in words))
    return Table("table-verdicts", "Groups that match their baseline", columns, rows)


def _table(judged: Judged) -> Table:
    def mean(found: tuple[float, float | None]) -> str:
        return spread(*found, points=judged.points)

    def difference(found: tuple[float, float | None]) -> str:
        return spread(*found, points=judged.points, sign="+")

    rows = tuple(
        (
            *(row["group"], row["baseline"], len(row["seeds"]), _with_half(row["mean"], row["interval"])),
            _with_half(row["difference"], row["welch"]),
            *((row["verdict"], row["seeds_needed"], row["reason"]) if judged.margin is not None else ()),
        )
        for row in judged.rows
    )
    columns = [
        Column("group", words=True),
        Column("baseline", words=True),
        Column("seeds"),
        Column("mean", mean, ("mean", "mean_half_interval")),
        Column("difference", difference, ("difference", "difference_half_interval")),
    ]
    if judged.margin is not None:
        columns += [Column("matches", words=True), Column("seeds needed", "{:,}".format), Column("why", words=True)]
    caption = f"{_titled(judged)}{', in points' if judged.points else ''}; ± half of 95% intervals, t and Welch's"
    return Table(slug("table-verdicts", judged.metric), caption, tuple(columns), rows)


def _with_half(center: float | None, interval: tuple[float, float] | None) -> tuple[float, float | None] | None:
    """A center and half of its interval, which is symmetric."""
    if center is None:
        return None
    return center, (interval[1] - interval[0]) / 2 if interval else None
