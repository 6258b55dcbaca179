"""Accuracy against density: one figure per network, in the order of depth and of width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rarefy.reports.figures import Figure
from rarefy.reports.pages import (
    Block,
    Column,
    Figures,
    Fold,
    Label,
    Note,
    Section,
    Table,
    format_mean,
    format_share,
    make_file_name,
)
from rarefy.reports.study._density_curves import draw_all_against_density
from rarefy.reports.study._study import RunGroup, SeedSummary, Study, find_dense, group_by_method

Size = Literal["depth", "width"]
_OTHER: dict[Size, Size] = {"depth": "width", "width": "depth"}


def build_section(study: Study) -> Section:
    """Builds the section: figures by depth, by width and of networks without sizes, and the numbers as tables."""
    about = (
        "Test accuracy. Each line is one method (allocation, plus topology if the masks move), averaged over seeds. "
        "The horizontal line is the dense network. The axis is the density, logarithmic and reversed: sparser is to "
        "the right, as in papers, so that the sparse end, where methods differ, has the most space."
    )
    headings: dict[str, list[str]] = {}
    for size in ("depth", "width"):
        for heading, sizes in group_by_size(study, size).items():
            headings[heading] = [groups[0].network for groups in sizes.values()]
    drawn = {network for networks in headings.values() for network in networks}
    others = [network for network in study.networks if network not in drawn]
    if others:
        headings["Networks" if not headings else "Other networks"] = others
    figures_of = _draw_networks(study)
    blocks: list[Block] = []
    for heading, networks in headings.items():
        figures = [figures_of[network] for network in networks if network in figures_of]
        tables = [build_wide_table(study, study.networks[network], "accuracy") for network in networks]
        blocks.append(Figures(heading, figures, make_file_name("panels-accuracy", heading)))
        blocks.append(Fold(f"Tables: {heading[0].lower()}{heading[1:]}", tables))
    blocks.append(Fold("All groups", [_build_long_table(study)]))
    return Section("accuracy", "Accuracy against density", about, [*blocks, *_count_published(study)])


def _draw_networks(study: Study) -> dict[str, Figure]:
    """Draws the figure of each network; those of one data set and training share their axes."""
    by_place: dict[str, list[str]] = {}
    for network, groups in study.networks.items():
        if any("accuracy" in group.numbers for group in groups):
            by_place.setdefault(groups[0].where, []).append(network)
    rows = ((names, draw_all_against_density(study, names, "accuracy")) for names in by_place.values())
    return {name: figure for names, figures in rows for name, figure in zip(names, figures, strict=True)}


def _count_published(study: Study) -> list[Block]:
    """Says how many published numbers are drawn over the runs."""
    count = f"Of {len(study.published)} published numbers {len(study.shown)} are of networks that were run here"
    return [Note(f"{count}: the hollow marks, whatever their training was.")] if study.published else []


def group_by_size(study: Study, size: Size) -> dict[str, dict[int, list[RunGroup]]]:
    """Groups networks that differ only in one size, by that size; at least two sizes each."""
    headings: dict[str, dict[int, list[RunGroup]]] = {}
    for groups in study.networks.values():
        first, other = groups[0], getattr(groups[0], _OTHER[size])
        value = getattr(first, size)
        if value is not None:
            fixed = f", {_OTHER[size]} {other}" if other is not None else ""
            headings.setdefault(f"By {size}: {first.family}{fixed}, {first.where}", {})[value] = groups
    return {heading: dict(sorted(sizes.items())) for heading, sizes in headings.items() if len(sizes) > 1}


def build_wide_table(study: Study, groups: Sequence[RunGroup], metric: str) -> Table:
    """Builds a table with one row per method and one column per density: mean and half its 95% interval."""
    info = study.describe_metric(metric)
    points = info.unit == "fraction"
    densities = sorted({group.density for group in groups if not group.dense}, reverse=True)
    dense, unit = find_dense(groups), ", %" if points else ""

    def format_value(value: tuple[float, float | None]) -> str:
        return format_mean(*value, points=points)

    def read_value(group: RunGroup | None) -> tuple[float, float | None] | None:
        summary = group.numbers.get(metric) if group else None
        return (summary.mean, halve_interval(summary)) if summary else None

    heads = [("dense", "dense"), *((format_share(density), f"{density:g}") for density in densities)]
    columns = [Column(head, format_value, (f"{name}_mean", f"{name}_half_interval")) for head, name in heads]
    rows = []
    for method, members in group_by_method(groups).items():
        by_density = {group.density: group for group in members}
        rows.append(
            (
                Label(method, study.styles[method]),
                read_value(dense),
                *(read_value(by_density.get(density)) for density in densities),
            )
        )
    rows = rows or [(Label("dense", study.styles["dense"]), read_value(dense))]
    network = groups[0].network
    caption = f"{info.title}{unit}: {network}. Mean ± half of its 95% t interval over seeds; columns are densities"
    return Table(make_file_name("table", metric, network), caption, [Column("method", is_text=True), *columns], rows)


def halve_interval(summary: SeedSummary) -> float | None:
    """Returns half of the interval of the mean."""
    return (summary.interval[1] - summary.interval[0]) / 2 if summary.interval else None


def _build_long_table(study: Study) -> Table:
    rows = []
    for network, groups in study.networks.items():
        for group in groups:
            summary = group.numbers.get("accuracy")
            if summary:
                ends = (min(summary.values), max(summary.values))
                numbers = ((summary.mean, halve_interval(summary)), summary.deviation, ends)
                rows.append(
                    (
                        network,
                        Label(group.method, study.styles[group.method]),
                        group.density,
                        len(summary.values),
                        *numbers,
                    )
                )

    def percent(value: float) -> str:
        return f"{100 * value:.2f}"

    columns = (
        Column("network", is_text=True),
        Column("method", is_text=True),
        Column("density", format_share),
        Column("seeds"),
        Column("accuracy, %", lambda value: format_mean(*value, points=True), ("mean", "half_interval")),
        Column("std, %", percent, ("std",)),
        Column("least to greatest, %", lambda ends: " to ".join(map(percent, ends)), ("least", "greatest")),
    )
    caption = "Test accuracy of every group: mean ± half of its 95% t interval, standard deviation over seeds"
    return Table("table-accuracy-all", caption, columns, rows, heads=2)
