"""Learning rates: loss against the learning rate, and the best rate of each method and density."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rarefy.reports.figures import Figure, share_heights
from rarefy.reports.pages import (
    Block,
    Column,
    Figures,
    Fold,
    Label,
    Section,
    Table,
    format_mean,
    format_number,
    format_share,
    make_file_name,
)
from rarefy.reports.study._rate_curves import RateCurve, build_rate_figure
from rarefy.reports.study._study import RunGroup, Study, group_by_method
from rarefy.statistics import Summary

_LEAST_RATES = 3  # of a method at one density, for a curve
_VARIANT = 10  # between style numbers of one colour

Curves = Mapping[tuple[str, float], RateCurve]  # by method and density; that of the dense network by ("dense", 1.0)


def build_section(study: Study) -> Section:
    """Builds the section: for networks that were trained at several rates, one figure per method and the best rates."""
    about = (
        "Validation loss after the last epoch of networks that were trained at three or more learning rates. If a "
        "scaling transfers, the best rate of sparse networks is that of the dense one. Losses far above the least are "
        "in the csv only."
    )
    families: dict[str, list[RunGroup]] = {}
    for group in (group for groups in study.networks.values() for group in groups):
        families.setdefault(group.across_rates, []).append(group)
    blocks: list[Block] = []
    for family, groups in families.items():
        curves = _collect_curves(study, groups)
        if curves:
            figures = share_heights(list(_draw_methods(family, curves)))
            blocks.append(Figures(family, figures, make_file_name("panels", "rates", family)))
            blocks.append(Fold("Best learning rates", [_build_table(family, curves)]))
    return Section("rates", "Learning rates", about, blocks)


def _collect_curves(study: Study, groups: Sequence[RunGroup]) -> Curves:
    """Collects the curves of a network, dense first, then by method and falling density."""
    methods = {"dense": [group for group in groups if group.dense]} | group_by_method(groups)
    curves: dict[tuple[str, float], RateCurve] = {}
    for method in ["dense", *study.methods]:
        members = methods.get(method, [])
        for number, density in enumerate(dict.fromkeys(group.density for group in members)):
            own = [group for group in members if group.density == density]
            losses = {group.lr: _read_losses(group.records) for group in own if group.lr is not None}
            label = method if method == "dense" else f"{method}, {format_share(density)}"
            curve = RateCurve(label, study.styles[method] + _VARIANT * number, losses)
            if len(losses) >= _LEAST_RATES and curve.summaries:
                curves[method, density] = curve
    return curves


def _read_losses(records: Sequence[Mapping[str, Any]]) -> list[float]:
    """Reads the last validation loss of each seed; infinity where a training diverged."""
    last = ((record.get("history") or [{}])[-1].get("validation_loss") for record in records)
    return [math.inf if loss is None else float(loss) for loss in last]


def _draw_methods(family: str, curves: Curves) -> Iterator[Figure]:
    """Draws one figure per method, each with the dense network."""
    methods = dict.fromkeys(method for method, _ in curves if method != "dense") or {"dense": None}
    for method in methods:
        shown = [curve for (name, _), curve in curves.items() if name in ("dense", method)]
        name = make_file_name("rates", method, family)
        yield build_rate_figure(name, f"Learning rates, {method}: {family}", shown)


def _build_table(family: str, curves: Curves) -> Table:
    """Builds the table of best rates, beside the loss at the dense network's best rate."""
    dense = curves.get(("dense", 1.0))
    rows = []
    for (method, density), curve in curves.items():
        best = curve.best
        ratio, there = (best / dense.best, curve.summaries.get(dense.best)) if dense else (None, None)
        cells = (best, curve.edge or None, _list_ends(curve.summaries[best]), ratio, _list_ends(there))
        rows.append((Label(method, curve.style), density, *cells))
    columns = (
        *(Column("method", is_text=True), Column("density", format_share)),
        *(Column("best rate", format_number), Column("which is the", is_text=True)),
        Column("loss", _format_loss, ("loss", "loss_low", "loss_high")),
        Column("rate / dense network's", format_number),
        Column("loss at the dense network's rate", _format_loss, ("at_dense", "at_dense_low", "at_dense_high")),
    )
    caption = f"Best learning rates; validation loss ± half of the mean's 95% interval. {family}"
    return Table(make_file_name("table-rates", family), caption, columns, rows, heads=2)


def _list_ends(summary: Summary | None) -> tuple[float, float | None, float | None] | None:
    """Lists mean and interval; None without a mean."""
    return (summary.mean, *(summary.interval or (None, None))) if summary else None


def _format_loss(ends: tuple[float, float | None, float | None]) -> str:
    mean, low, high = ends
    return format_mean(mean, None if low is None or high is None else (high - low) / 2, points=False)
