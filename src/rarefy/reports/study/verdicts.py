"""The verdicts of `rarefy compare`, metric by metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rarefy.reports.pages import (
    Block,
    Column,
    Fold,
    Label,
    Note,
    Section,
    Table,
    format_mean,
    format_points,
    format_share,
    join_names,
    make_file_name,
)
from rarefy.reports.study._study import MetricVerdicts, Study

Row = Mapping[str, Any]


def build_section(study: Study) -> Section:
    """Builds the section: how often each verdict was given, and one table per metric; accuracy is open."""
    about = (
        "Two one-sided tests at 5%: yes, the 90% interval of the difference lies inside the margin; no, it lies "
        "outside; cannot tell, it crosses the margin, and more seeds are needed. Nothing is corrected for the number "
        "of comparisons. Seeds needed: seeds per group for 80% power, assuming the observed difference and spread "
        "are true."
    )
    tables = {verdicts.metric: _build_table(study, verdicts) for verdicts in study.verdicts}
    first = tables.pop("accuracy", None)
    blocks: list[Block] = [_count_verdicts(study)] if study.verdicts else []
    if first:
        blocks.append(Fold("Accuracy", [first], is_open=len(first.rows) <= _MOST_ROWS))
    if tables:
        blocks.append(Fold("Other metrics", list(tables.values())))
    notes: list[Block] = [Note(text) for text in study.notes]
    if sum(map(len, study.notes)) > _MOST_LETTERS:
        notes = [Fold("Notes", notes)]
    return Section("verdicts", "Is it the same?", about, [*blocks, *notes])


_MOST_ROWS, _MOST_LETTERS = 60, 600  # that are not folded away


def _format_title(study: Study, verdicts: MetricVerdicts) -> str:
    title = study.describe_metric(verdicts.metric).title
    if verdicts.margin is None:
        return f"{title}, without a margin"
    return f"{title}, margin {format_points(verdicts.margin) if verdicts.points else f'{verdicts.margin:g}'}"


def _count_verdicts(study: Study) -> Table:
    """Counts how often each verdict was given."""
    answers = ("yes", "no", "cannot tell")
    rows = tuple(
        (_format_title(study, one), *(sum(row["verdict"] == answer for row in one.rows) for answer in answers))
        for one in study.verdicts
        if one.margin is not None
    )
    columns = (Column("metric", is_text=True), *(Column(answer) for answer in answers))
    return Table("table-verdicts", "Groups that match their baseline", columns, rows)


def _build_table(study: Study, verdicts: MetricVerdicts) -> Table:
    """Builds the table of a metric: one row per group, network by network."""

    def format_value(value: tuple[float, float | None]) -> str:
        return format_mean(*value, points=verdicts.points)

    def format_difference(value: tuple[float, float | None]) -> str:
        return format_mean(*value, points=verdicts.points, sign="+")

    has_margin = verdicts.margin is not None
    rows = [
        (
            *_name_group(study, row),
            *(len(row["seeds"]), _halve(row["mean"], row["interval"]), _halve(row["difference"], row["welch"])),
            *((row["verdict"], row["seeds_needed"]) if has_margin else ()),
        )
        for row in verdicts.rows
    ]
    unit = " in points" if verdicts.points else ""
    columns = [
        *(Column("network", is_text=True), Column("method", is_text=True), Column("density", format_share)),
        Column("seeds"),
        Column("mean", format_value, ("mean", "mean_half_interval")),
        Column(f"difference{unit}", format_difference, ("difference", "difference_half_interval")),
    ]
    if has_margin:
        columns += [Column("matches", is_text=True), Column("seeds needed", "{:,}".format)]
    base = {row["baseline"] for row in verdicts.rows}
    to = "dense" if all((g := study.find_group(name)) is None or g.dense for name in base) else join_names(sorted(base))
    caption = f"{_format_title(study, verdicts)}: difference to {to}; ± half of 95% intervals, t and Welch's"
    return Table(make_file_name("table-verdicts", verdicts.metric), caption, columns, rows, heads=2)


def _name_group(study: Study, row: Row) -> tuple[str, Label | str, float | None]:
    group = study.find_group(row["group"])
    if group is None:
        return row["group"], "", None
    return group.network, Label(group.method, study.styles[group.method]), group.density


def _halve(center: float | None, interval: tuple[float, float] | None) -> tuple[float, float | None] | None:
    """Returns the center and half of its interval, which is symmetric."""
    if center is None:
        return None
    return center, (interval[1] - interval[0]) / 2 if interval else None
