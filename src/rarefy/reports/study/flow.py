"""Gradient flow: over the epochs, and in trained networks against density."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rarefy.reports.figures import Axis, Figure, Series, fit_axis
from rarefy.reports.pages import Block, Figures, Fold, Section, format_density, make_file_name
from rarefy.reports.study._density_curves import BAND_SEEDS, draw_all_against_density, draw_sparsest
from rarefy.reports.study._study import RunGroup, Study

_EPOCHS = "gradient_norm_kept"
_SCALARS = (
    *("flow.gradient_norm.initial.total", "flow.gradient_norm.final.total"),
    *("flow.effective_density.effective_density", "flow.dead_units.fraction"),
)


def build_section(study: Study) -> Section:
    """Builds the section: gradient norm by epoch, one figure per network; then single numbers against density."""
    about = (
        "The L2 norm of the loss's gradient over kept weights; by epoch, of each epoch's last batch, if the run was "
        "trained with --diagnostics. Effective density: kept weights on a path from an input to an output."
    )
    drawn = (
        draw_sparsest(study, groups, lambda group: _build_line(study, group), _build_figure)
        for groups in study.networks.values()
    )
    watched = [figure for figure in drawn if figure]
    blocks: list[Block] = [Figures("Gradient norm by epoch, at the sparsest", watched)] if watched else []
    for metric in _SCALARS:
        figures = draw_all_against_density(study, list(study.networks), metric)
        if figures:
            title = study.describe_metric(metric).title
            blocks.append(Fold(title, [Figures("", figures, make_file_name("panels", metric))]))
    return Section("flow", "Gradient flow", about, blocks)


def _build_figure(network: str, density: float, series: Sequence[Series]) -> Figure:
    heights = [height for one in series for height in (*one.y, *one.low, *one.high)]
    name = make_file_name("gradient-norm", network, f"density {density:g}")
    return Figure(
        name, f"Gradient norm, {format_density(density)}: {network}", Axis("epoch", "epoch"),
        fit_axis("gradient norm", _EPOCHS, heights, log=True), tuple(series),
        "The mean over seeds; band: least to greatest.",
    )  # fmt: skip


def _build_line(study: Study, group: RunGroup) -> Series | None:
    """Builds the mean over the seeds of epochs that all of them have."""
    by_run = [
        {epoch["epoch"]: epoch[_EPOCHS] for epoch in record.get("history") or () if (epoch.get(_EPOCHS) or 0) > 0}
        for record in group.records
    ]
    epochs = sorted(set.intersection(*map(set, by_run))) if by_run else []
    if not epochs:
        return None
    norms = [[by_epoch[epoch] for by_epoch in by_run] for epoch in epochs]
    means = tuple(map(statistics.fmean, norms))
    low, high = (tuple(map(pick, norms)) if len(by_run) >= BAND_SEEDS else () for pick in (min, max))
    style = study.styles[group.method]
    return Series(group.method, style, tuple(map(float, epochs)), means, low, high, kind="curve")
