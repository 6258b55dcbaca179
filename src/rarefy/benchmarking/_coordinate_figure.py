"""Figure of a coordinate check."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rarefy.benchmarking._coordinates import LayerCoordinates
from rarefy.reports.figures import Axis, Figure, Series, choose_log_ticks


def build_coordinate_figure(coordinates: Sequence[LayerCoordinates]) -> Figure:
    """Builds the figure: the change of each layer's outputs against density, relative to the densest network.

    Args:
        coordinates: What `check_scaling` returned; of several widths the first is drawn.

    Example:
        >>> of = lambda density: LayerCoordinates("none", density, None, "fc1", 1.0, (density,))
        >>> build_coordinate_figure([of(1.0), of(0.25)]).series[0].y
        (1.0, 0.25)
    """
    densities = sorted({entry.density for entry in coordinates})
    shown = tuple(densities)
    scalings = dict.fromkeys(entry.scaling for entry in coordinates)
    series = tuple(_build_series(scaling, coordinates, style) for style, scaling in enumerate(scalings))
    ends = min(low for own in series for low in own.low) / 1.5, max(high for own in series for high in own.high) * 1.5
    return Figure(
        "coordinate_check",
        "Change of outputs in the first steps",
        Axis("density", "density", log=True, reverse=True, span=(shown[0] / 1.2, shown[-1] * 1.2), ticks=shown),
        Axis(
            "change / change of the densest network",
            "relative_change",
            log=True,
            span=ends,
            ticks=tuple(choose_log_ticks(*ends)),
        ),
        series,
        caption="Lines: median over layers; bands: smallest to largest. A flat line at 1 is what transfers.",
    )


def _build_series(scaling: str, coordinates: Sequence[LayerCoordinates], style: int) -> Series:
    width = coordinates[0].width
    own = [entry for entry in coordinates if (entry.scaling, entry.width) == (scaling, width)]
    densities = sorted({entry.density for entry in own}, reverse=True)
    whole = {entry.layer: entry.change or 1.0 for entry in own if entry.density == densities[0]}
    relative = [sorted(e.change / whole[e.layer] for e in own if e.density == density) for density in densities]
    return Series(
        scaling,
        style,
        tuple(densities),
        tuple(statistics.median(values) for values in relative),
        low=tuple(values[0] for values in relative),
        high=tuple(values[-1] for values in relative),
    )
