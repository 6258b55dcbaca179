"""The picture of a run: its learning curves and the densities of its layers."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rarefy.reports._render import REPORTS
from rarefy.reports._titles import title_data, title_method, title_model
from rarefy.reports.figures import DENSE, Axis, Figure, Series, draw_on_axes, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_SPLITS = ("train", "validation")  # their styles are 0 and 1
_TEST = 2
_MOST_NUMBERS = 30
_MOST_MARKS = 30


@REPORTS.register("curves")
@dataclasses.dataclass(frozen=True)
class Curves:
    """``curves.png``: loss by epoch, accuracy by epoch with the test accuracy, density by layer.

    Drawn without pyplot: it needs no display and changes no settings.

    Example:
        >>> record = {"id": "3f2a", "density": 1.0, "params": {"total": 640, "kept": 640}, "layers": [], "history": [],
        ...     "config": {"data": {"name": "digits"}, "model": {"name": "mlp"}, "seed": 17}, "metrics": {}}
        >>> Curves()(record)["curves.png"][1:4]
        b'PNG'
    """

    def __call__(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """Draws the picture of a record, as PNG."""
        image = io.BytesIO()
        draw_curves(record).savefig(image, format="png")
        return {"curves.png": image.getvalue()}


def draw_curves(record: Mapping[str, Any]) -> Drawing:
    """Draws the picture as a matplotlib figure, for a notebook or another format.

    Example:
        >>> record = {"id": "3f2a", "density": 1.0, "params": {"total": 640, "kept": 640}, "layers": [], "history": [],
        ...     "config": {"data": {"name": "digits"}, "model": {"name": "mlp"}, "seed": 17}, "metrics": {}}
        >>> [panel.get_title() for panel in draw_curves(record).axes][:2]
        ['Loss by epoch', 'Accuracy by epoch']
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import MaxNLocator

    drawing = Drawing(figsize=(11, 7.5), dpi=120, layout="constrained")
    FigureCanvasAgg(drawing)
    panels = drawing.subplot_mosaic([["loss", "accuracy"], ["layers", "layers"]])
    drawing.suptitle(describe_run(record), fontsize=11)
    for name, figure in (("loss", _describe_loss(record)), ("accuracy", _describe_accuracy(record))):
        draw_on_axes(panels[name], figure)
        panels[name].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if not figure.series:
            panels[name].text(0.5, 0.5, "no epoch was recorded", transform=panels[name].transAxes, ha="center")
    panels["loss"].set_ylim(bottom=0)
    _draw_layers(panels["layers"], record)
    return drawing


def describe_run(record: Mapping[str, Any]) -> str:
    """Describes a run in two lines.

    Example:
        >>> print(describe_run({"id": "3f2a", "density": 0.05, "params": {"total": 270896, "kept": 13545},
        ...     "config": {"data": {"name": "cifar10"}, "model": {"name": "cifar_resnet_20"}, "seed": 17,
        ...                "allocation": {"name": "erk"}, "topology": {"name": "static"}}}))
        ResNet-20 on CIFAR-10, ERK, seed 17 (run 3f2a)
        density 5%: 13,545 of 270,896 weights kept
    """
    config, params = record["config"], record["params"]
    allocation, topology = (config.get(kind, {}).get("name", "") for kind in ("allocation", "topology"))
    methods = [title_method(allocation, topology or "static")] if allocation else []
    network = f"{title_model(config['model']['name'])} on {title_data(config['data']['name'])}"
    names = ", ".join([network, *methods, f"seed {config['seed']}"])
    kept = f"density {100 * record['density']:.3g}%: {params['kept']:,} of {params['total']:,} weights kept"
    return f"{names} (run {record['id']})\n{kept}"


def _describe_loss(record: Mapping[str, Any]) -> Figure:
    series = _build_lines(record, "loss")
    return Figure("loss", "Loss by epoch", Axis("epoch", "epoch"), Axis("loss", "loss"), tuple(series))


def _describe_accuracy(record: Mapping[str, Any]) -> Figure:
    series = _build_lines(record, "accuracy")
    test = record["metrics"].get("test", {}).get("accuracy")
    if test is not None:
        last = record["history"][-1]["epoch"] if record["history"] else 0
        epoch = record.get("selected_epoch", last)
        series.append(Series(f"test: {100 * test:.2f}%", _TEST, (epoch,), (test,), kind="dots"))
    y = Axis("accuracy, %", "accuracy", 100.0, span=(0.0, 1.04))
    return Figure("accuracy", "Accuracy by epoch", Axis("epoch", "epoch"), y, tuple(series))


def _build_lines(record: Mapping[str, Any], metric: str) -> list[Series]:
    """Builds one line per split, through the epochs that have a finite number."""
    lines = []
    for style, split in enumerate(_SPLITS):
        key = f"{split}_{metric}"
        points = [(epoch["epoch"], epoch[key]) for epoch in record["history"] if _is_finite(epoch.get(key))]
        if points:
            x, y = zip(*points, strict=True)
            lines.append(Series(split, style, x, y, kind="line" if len(points) <= _MOST_MARKS else "curve"))
    return lines


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _draw_layers(panel: Axes, record: Mapping[str, Any]) -> None:
    layers, overall = record["layers"], record["density"]
    densities = [layer["density"] for layer in layers]
    title = f"Density by layer ({len(layers)} layers; line: {100 * overall:.3g}% of all)"
    x = Axis(
        "", "layer", span=(-0.7, max(len(layers), 1) - 0.3), ticks=tuple(map(float, range(len(layers)))),
        texts=tuple(shorten(layer["name"].removesuffix(".weight")) for layer in layers),
    )  # fmt: skip
    y = Axis("weights kept, %", "density", 100.0, span=(0.0, 1.12 * max([overall, *densities])))
    level = Series("all layers", DENSE, (0.0,), (overall,), kind="level")
    draw_on_axes(panel, Figure("layers", title, x, y, (level,)))
    bars = panel.bar(range(len(layers)), [100 * density for density in densities], color="#2f9fd8", width=0.8)
    if len(layers) <= _MOST_NUMBERS:
        panel.bar_label(bars, [f"{100 * density:.3g}" for density in densities], fontsize=7, padding=2)
