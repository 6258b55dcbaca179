"""Figures against density: one line per method, dense as a level."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from rarefy.reports.figures import DENSE, Axis, Figure, Series, fit_axis, share_heights
from rarefy.reports.pages import (
    format_density,
    format_mean,
    format_number,
    format_percent,
    format_plural,
    make_file_name,
)
from rarefy.reports.study._published import PublishedResult
from rarefy.reports.study._study import RunGroup, SeedSummary, Study, find_dense, group_by_method

BAND_SEEDS = 3  # from which on a spread is drawn
_NEAREST = 1.11  # factor between densities that both get a tick


def draw_all_against_density(study: Study, networks: Sequence[str], metric: str) -> list[Figure]:
    """Draws a metric of several networks against density, with one pair of axes for all."""
    drawn = [figure for network in networks if (figure := draw_against_density(study, network, metric))]
    x = _build_density_axis(_list_densities([series for figure in drawn for series in figure.series]))
    return share_heights([dataclasses.replace(figure, x=x) for figure in drawn])


def draw_against_density(study: Study, network: str, metric: str) -> Figure | None:
    """Draws a metric of a network against density; None if no run has it.

    Args:
        study: The data of the report.
        network: Name of the network.
        metric: Dotted name of the metric.
    """
    info = study.describe_metric(metric)
    points = info.unit == "fraction"
    groups = [group for group in study.networks[network] if metric in group.numbers]
    if not groups:
        return None
    dense, key = find_dense(groups), (groups[0].data, groups[0].model, metric)
    levels = [_build_level(dense, dense.numbers[metric], points=points)] if dense else []
    lines = [_build_line(study, members, metric, points=points) for members in group_by_method(groups).values()]
    published = [row for row in study.shown if (row.data, row.model, row.metric) == key]
    marks = _build_published(study, published, points=points)
    series = (*levels, *lines, *marks)
    heights = [end for one in series for end in (*one.y, *one.low, *one.high)]
    y = fit_axis(info.title + (", %" if points else ""), metric, heights, scale=100.0 if points else 1.0)
    title, x = f"{info.title}: {network}", _build_density_axis(_list_densities(series))
    return Figure(
        make_file_name(metric, network), title, x, y, series, _describe_marks(series, has_published=bool(marks))
    )


def _describe_marks(series: Sequence[Series], *, has_published: bool) -> str:
    spread = [one for one in series if one.low]
    names = [name for name, flag in (("Band", False), ("Bar", True)) if any(one.has_bars is flag for one in spread)]
    texts = [f"{' and '.join(names).capitalize()}: ± standard deviation over seeds."] if names else []
    texts += ["Hollow: published numbers, not ours."] if has_published else []
    return " ".join(texts)


def draw_sparsest(
    study: Study, groups: Sequence[RunGroup], build_series: Callable[[RunGroup], Series | None],
    build_figure: Callable[[str, float, Sequence[Series]], Figure],
) -> Figure | None:  # fmt: skip
    """Draws a network at the lowest density at which a sparse group has a series, together with dense."""
    dense = find_dense(groups)
    for density in study.densities:
        members = [
            group for several in group_by_method(groups).values() for group in several if group.density == density
        ]
        sparse = [series for group in members if (series := build_series(group))]
        if sparse:
            level = build_series(dense) if dense else None
            return build_figure(groups[0].network, density, [*([level] if level else []), *sparse])
    return None


def _list_densities(series: Sequence[Series]) -> list[float]:
    return sorted({density for one in series for density in one.x if density < 1})


def _build_density_axis(densities: Sequence[float]) -> Axis:
    """Builds a logarithmic axis with the densest on the left: from left to right it gets sparser, as in papers."""
    ticks: list[float] = []
    for density in sorted({*densities, 1.0}, reverse=True):
        if not ticks or ticks[-1] / density >= _NEAREST:
            ticks.append(density)
    span = (0.9 * min(densities, default=0.5), 1.06)
    label = "density, % of weights kept (sparser to the right)"
    return Axis(label, "density", 100.0, log=True, reverse=True, span=span, ticks=tuple(ticks))


def _format_tip(name: str, summary: SeedSummary, *, points: bool) -> str:
    """``erk, density 10% (sparsity 90%): 91.20 ± 0.21%, 3 seeds``."""
    mean, unit = format_mean(summary.mean, summary.deviation, points=points), "%" if points else ""
    return f"{name}: {mean}{unit}, {format_plural(len(summary.values), 'seed')}"


def _build_line(study: Study, groups: Sequence[RunGroup], metric: str, *, points: bool) -> Series:
    summaries = [group.numbers[metric] for group in groups]
    has_band = all(len(summary.values) >= BAND_SEEDS for summary in summaries)
    low, high = zip(*(summary.band for summary in summaries), strict=True) if has_band else ((), ())
    tips = tuple(
        _format_tip(f"{group.method}, {format_density(group.density)}", summary, points=points)
        for group, summary in zip(groups, summaries, strict=True)
    )
    method, densities = groups[0].method, tuple(group.density for group in groups)
    means, style = tuple(summary.mean for summary in summaries), study.styles[method]
    return Series(method, style, densities, means, low, high, tips, has_bars=len(groups) == 1)


def _build_level(dense: RunGroup, summary: SeedSummary, *, points: bool) -> Series:
    low, high = ((end,) for end in summary.band) if len(summary.values) >= BAND_SEEDS else ((), ())
    tips = (_format_tip("dense", summary, points=points),)
    return Series("dense", DENSE, (dense.density,), (summary.mean,), low, high, tips, "level")


def _build_published(study: Study, rows: Sequence[PublishedResult], *, points: bool) -> list[Series]:
    methods: dict[str, list[PublishedResult]] = {row.method: [] for row in rows}
    for row in sorted(rows, key=lambda row: -row.density):
        methods[row.method].append(row)
    format_value = format_percent if points else format_number
    return [
        Series(
            f"{method}, published", study.styles[method], tuple(row.density for row in several),
            tuple(row.value for row in several), kind="hollow",
            tips=tuple(
                _cite(row, format_value(row.value), format_value(row.std) if row.std is not None else "")
                for row in several
            ),
        )
        for method, several in methods.items()
    ]  # fmt: skip


def _cite(row: PublishedResult, value: str, std: str) -> str:
    source = "; ".join(text for text in (row.source, row.certainty and f"certainty: {row.certainty}", row.note) if text)
    name = "dense" if row.dense else f"{row.method}, {format_density(row.density)}"
    return f"{name}, published: {value}{f' ± {std}' if std else ''}. {source}"
