"""Where the weights are: density layer by layer, by allocation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rarefy.reports._study._blocks import Block, Figures, Fold, Section, share, slug
from rarefy.reports._study._curves import logarithmic
from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._study import Cell, Study

_MOST_LABELS = 24


def layers(study: Study) -> Section:
    """A figure a network and density: its layers across, their densities up, a line a method."""
    about = (
        "Share of a layer's weights that is kept at the end of training, counted; layers in the order of the network. "
        "The mean over seeds, which differ only where the allocation looks at data or the masks moved."
    )
    blocks: list[Block] = []
    for panel, cells in study.panels.items():
        figures = [_figure(study, panel, cells, density) for density in study.densities]
        drawn = [figure for figure in figures if figure]
        if drawn:
            blocks.append(Fold(panel, [Figures("", drawn)], open=not blocks))
    return Section("layers", "Layer densities", about, blocks)


def _figure(study: Study, panel: str, cells: Sequence[Cell], density: float) -> Figure | None:
    found = {cell.method: cell for cell in cells if not cell.dense and cell.density == density}
    names = [layer["name"] for layer in next(iter(found.values())).records[0].get("layers") or ()] if found else []
    if not names:
        return None
    series = tuple(_line(method, study.style(method), cell, names) for method, cell in found.items())
    step = -(-len(names) // _MOST_LABELS)
    shown = range(0, len(names), step)
    x = Axis(
        "layer", "layer", span=(0.4, len(names) + 0.6), ticks=tuple(at + 1.0 for at in shown),
        texts=tuple(names[at].removesuffix(".weight") for at in shown),
    )  # fmt: skip
    y = logarithmic("weights kept, %", "density", series, 100.0)
    return Figure(slug("layers", panel, f"density {density:g}"), f"Layers at {share(density)}: {panel}", x, y, series)


def _line(method: str, style: int, cell: Cell, names: Sequence[str]) -> Series:
    """Layers that keep nothing have no place on a logarithmic axis."""
    by_name: list[Mapping[str, float]] = [
        {layer["name"]: layer["density"] for layer in record.get("layers") or ()} for record in cell.records
    ]
    means = [statistics.fmean(found.get(name, 0.0) for found in by_name) for name in names]
    kept = [(at + 1.0, mean, name) for at, (mean, name) in enumerate(zip(means, names, strict=True)) if mean > 0]
    said = tuple(f"{method}, {name}: {100 * mean:.3g}% kept" for _, mean, name in kept)
    return Series(method, style, tuple(x for x, _, _ in kept), tuple(y for _, y, _ in kept), said=said)
