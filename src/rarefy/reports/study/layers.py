"""Layer densities: where the weights are, by allocation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rarefy.reports.figures import Axis, Figure, Series, fit_axis
from rarefy.reports.pages import Block, Figures, Fold, Section, format_density, make_file_name
from rarefy.reports.study._study import RunGroup, Study

_MOST_LABELS = 24


def build_section(study: Study) -> Section:
    """Builds the section: one figure per network and density, layers across, densities up, one line per method."""
    about = (
        "Share of a layer's weights that is kept at the end of training, counted; layers in the order of the network. "
        "The mean over seeds, which differ only where the allocation looks at data or the masks moved."
    )
    blocks: list[Block] = []
    for network, groups in study.networks.items():
        drawn = (_draw_layers(study, network, groups, density) for density in study.densities)
        figures = [figure for figure in drawn if figure]
        if figures:
            blocks.append(Fold(network, [Figures("", figures)], is_open=not blocks))
    return Section("layers", "Layer densities", about, blocks)


def _draw_layers(study: Study, network: str, groups: Sequence[RunGroup], density: float) -> Figure | None:
    methods = {group.method: group for group in groups if not group.dense and group.density == density}
    first = next(iter(methods.values())).records[0] if methods else {}
    names = [layer["name"] for layer in first.get("layers") or ()]
    if not names:
        return None
    series = tuple(_build_line(method, study.styles[method], group, names) for method, group in methods.items())
    shown = range(0, len(names), -(-len(names) // _MOST_LABELS))
    x = Axis(
        "layer", "layer", span=(0.4, len(names) + 0.6), ticks=tuple(number + 1.0 for number in shown),
        texts=tuple(names[number].removesuffix(".weight") for number in shown),
    )  # fmt: skip
    y = fit_axis("weights kept, %", "density", [value for s in series for value in s.y], scale=100.0, log=True)
    name = make_file_name("layers", network, f"density {density:g}")
    return Figure(name, f"Layers at {format_density(density)}: {network}", x, y, series)


def _build_line(method: str, style: int, group: RunGroup, names: Sequence[str]) -> Series:
    """Builds the line of a method; layers that keep nothing have no place on a logarithmic axis."""
    by_name: list[Mapping[str, float]] = [
        {layer["name"]: layer["density"] for layer in record.get("layers") or ()} for record in group.records
    ]
    means = [statistics.fmean(densities.get(name, 0.0) for densities in by_name) for name in names]
    points = [(at + 1.0, mean, name) for at, (mean, name) in enumerate(zip(means, names, strict=True)) if mean > 0]
    tips = tuple(f"{method}, {name}: {100 * mean:.3g}% kept" for _, mean, name in points)
    return Series(method, style, tuple(x for x, _, _ in points), tuple(y for _, y, _ in points), tips=tips)
