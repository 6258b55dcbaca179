"""Gradient flow: over the epochs, and what is left of it in a trained network."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rarefy.reports._study._blocks import Block, Figures, Fold, Section, share, slug
from rarefy.reports._study._curves import against_density, logarithmic
from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._study import Cell, Study, by_method, dense_of

_EPOCHS = "gradient_norm_kept"
_AT_THE_END = {
    "flow.gradient_norm.initial.total": ("Gradient norm before training", False),
    "flow.gradient_norm.final.total": ("Gradient norm after training", False),
    "flow.effective_density.effective_density": ("Effective density", True),
    "flow.dead_units.fraction": ("Dead units", True),
}


def flow(study: Study) -> Section:
    """Gradient norm by epoch, a figure a network and density; then single numbers against density."""
    about = (
        "The L2 norm of the loss's gradient over kept weights; by epoch, of each epoch's last batch, if the run was "
        "trained with --diagnostics. Effective density: kept weights on a path from an input to an output."
    )
    figures: list[Figure | None] = []
    for panel, cells in study.panels.items():
        found = (_epochs(study, panel, cells, density) for density in study.densities)
        figures.append(next((figure for figure in found if figure), None))
    watched = [figure for figure in figures if figure]
    blocks: list[Block] = [Figures("Gradient norm by epoch, at the sparsest", watched)] if watched else []
    for metric, (title, points) in _AT_THE_END.items():
        label = title + (", %" if points else "")
        drawn = [against_density(study, panel, metric, title, label, points=points) for panel in study.panels]
        if any(drawn):
            blocks.append(Fold(title, [Figures("", [figure for figure in drawn if figure])]))
    return Section("flow", "Gradient flow", about, blocks)


def _epochs(study: Study, panel: str, cells: Sequence[Cell], density: float) -> Figure | None:
    dense = dense_of(cells)
    sparse = [cell for several in by_method(cells).values() for cell in several if cell.density == density]
    series = [one for cell in [*([dense] if dense else []), *sparse] if (one := _line(study, cell))]
    if not any(one.style >= 0 for one in series):
        return None
    x, y = Axis("epoch", "epoch"), logarithmic("gradient norm", _EPOCHS, series)
    name = slug("gradient-norm", panel, f"density {density:g}")
    caption = "The mean over seeds; band: least to greatest."
    return Figure(name, f"Gradient norm, {share(density)}: {panel}", x, y, tuple(series), caption)


def _line(study: Study, cell: Cell) -> Series | None:
    """The mean over the seeds of epochs that all of them have."""
    found = [
        {epoch["epoch"]: epoch[_EPOCHS] for epoch in record.get("history") or () if (epoch.get(_EPOCHS) or 0) > 0}
        for record in cell.records
    ]
    epochs = sorted(set.intersection(*map(set, found))) if found else []
    if not epochs:
        return None
    norms = [[one[epoch] for one in found] for epoch in epochs]
    means = tuple(map(statistics.fmean, norms))
    low, high = (tuple(map(pick, norms)) if len(found) > 1 else () for pick in (min, max))
    return Series(cell.method, study.style(cell.method), tuple(map(float, epochs)), means, low, high, kind="curve")
