"""Layer densities: where the weights are, by allocation."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from rarefy.reports.figures import Axis, Figure, Series, Sheet, fit_axis, shorten
from rarefy.reports.pages import Block, Figures, Fold, Section, format_density, make_file_name
from rarefy.reports.study._study import RunGroup, Study

_MOST_OPEN = 3  # networks that are not folded away


def build_section(study: Study) -> Section:
    """Builds the section: one figure per network, layers across, densities up, one line per method."""
    about = (
        "Share of a layer's weights that is kept at the end of training, counted; layers in the order of the network. "
        "The mean over seeds, which differ only where the allocation looks at data or the masks moved. Drawn at the "
        "lowest density that most methods have; the numbers of all densities are in the csv."
    )
    blocks: list[Block] = []
    for network, groups in study.networks.items():
        figure = _draw_layers(study, network, groups)
        if figure and len(blocks) < _MOST_OPEN:
            blocks.append(Figures("", [figure]))
        elif figure:
            blocks.append(Fold(network, [Figures("", [figure])]))
    return Section("layers", "Layer densities", about, blocks)


def _choose_density(groups: Sequence[RunGroup]) -> float | None:
    """Chooses the lowest of the densities that the most methods have."""
    counts = Counter(group.density for group in groups if not group.dense and group.records[0].get("layers"))
    return min(counts, key=lambda density: (-counts[density], density), default=None)


def _draw_layers(study: Study, network: str, groups: Sequence[RunGroup]) -> Figure | None:
    density = _choose_density(groups)
    if density is None:
        return None
    methods = {group.method: group for group in groups if not group.dense and group.density == density}
    names = [layer["name"] for layer in next(iter(methods.values())).records[0]["layers"]]
    series = tuple(_build_line(method, study.styles[method], group, names) for method, group in methods.items())
    x = Axis(
        "layer", "layer", span=(0.4, len(names) + 0.6), ticks=tuple(number + 1.0 for number in range(len(names))),
        texts=tuple(shorten(name.removesuffix(".weight")) for name in names),
    )  # fmt: skip
    y = fit_axis("weights kept, %", "density", [value for s in series for value in s.y], scale=100.0, log=True)
    return Figure(
        make_file_name("layers", network), f"Layers at {format_density(density)}: {network}", x, y, series,
        sheet=_list_layers(network, groups), width=560 if len(names) <= _FEW else 1120,
        height=330 + 4 * max(map(len, x.texts)),
    )  # fmt: skip


_FEW = 12  # layers that a figure of half the page has room for


def _list_layers(network: str, groups: Sequence[RunGroup]) -> Sheet:
    """Lists the layers of all methods and densities."""
    rows = [
        [network, group.method, group.density, name, density]
        for group in groups
        if not group.dense
        for name, density in _average(group).items()
    ]
    return Sheet(make_file_name("layers", network), ["network", "method", "density", "layer", "layer_density"], rows)


def _average(group: RunGroup) -> dict[str, float]:
    """Averages the density of each layer over the seeds."""
    by_layer: dict[str, list[float]] = {}
    for layer in (layer for record in group.records for layer in record.get("layers") or ()):
        by_layer.setdefault(layer["name"], []).append(layer["density"])
    return {name: statistics.fmean(densities) for name, densities in by_layer.items()}


def _build_line(method: str, style: int, group: RunGroup, names: Sequence[str]) -> Series:
    """Builds the line of a method; layers that keep nothing have no place on a logarithmic axis."""
    means = _average(group)
    points = [(at + 1.0, means[name], name) for at, name in enumerate(names) if means.get(name, 0.0) > 0]
    tips = tuple(f"{method}, {name}: {100 * mean:.3g}% kept" for _, mean, name in points)
    return Series(method, style, tuple(x for x, _, _ in points), tuple(y for _, y, _ in points), tips=tips)
