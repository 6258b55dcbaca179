"""The picture of a run: how it learnt and where its weights are."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rarefy.reports._render import REPORTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; line styles and markers differ as well.
_TRAIN = {"color": "#0072B2", "linestyle": "-", "marker": "o"}
_VALIDATION = {"color": "#D55E00", "linestyle": "--", "marker": "s"}
_TEST = "#009E73"
_BARS = "#56B4E9"
_MOST_LABELS = 60
_MOST_NUMBERS = 30
_MOST_MARKERS = 30


@REPORTS.register("curves")
@dataclasses.dataclass(frozen=True)
class Curves:
    """``curves.png``: loss by epoch, accuracy by epoch with the test accuracy, density by layer.

    Drawn on a figure of its own, without pyplot: neither a display nor anybody's settings are touched.

    Example:
        >>> record = {"id": "3f2a", "density": 1.0, "params": {"total": 640, "kept": 640}, "layers": [], "history": [],
        ...     "config": {"data": {"name": "digits"}, "model": {"name": "mlp"}, "seed": 17}, "metrics": {}}
        >>> Curves()(record)["curves.png"][1:4]
        b'PNG'
    """

    def __call__(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """The picture of a record, as PNG."""
        image = io.BytesIO()
        figure(record).savefig(image, format="png")
        return {"curves.png": image.getvalue()}


def figure(record: Mapping[str, Any]) -> Figure:
    """The picture as a matplotlib figure, for a notebook or for another format.

    Example:
        >>> record = {"id": "3f2a", "density": 1.0, "params": {"total": 640, "kept": 640}, "layers": [], "history": [],
        ...     "config": {"data": {"name": "digits"}, "model": {"name": "mlp"}, "seed": 17}, "metrics": {}}
        >>> [panel.get_title() for panel in figure(record).axes][:2]
        ['Loss by epoch', 'Accuracy by epoch']
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 7.5), dpi=120, layout="constrained")
    FigureCanvasAgg(picture)
    panels = picture.subplot_mosaic([["loss", "accuracy"], ["layers", "layers"]])
    picture.suptitle(title(record), fontsize=11)
    _loss(panels["loss"], record)
    _accuracy(panels["accuracy"], record)
    _layers(panels["layers"], record)
    return picture


def title(record: Mapping[str, Any]) -> str:
    """What was run, in two lines.

    Example:
        >>> print(title({"id": "3f2a", "density": 0.05, "params": {"total": 270896, "kept": 13545},
        ...     "config": {"data": {"name": "cifar10"}, "model": {"name": "cifar_resnet_20"}, "seed": 17,
        ...                "allocation": {"name": "erk"}, "topology": {"name": "static"}}}))
        cifar_resnet_20 on cifar10, erk, static, seed 17 (run 3f2a)
        density 5%: 13,545 of 270,896 weights kept
    """
    config, params = record["config"], record["params"]
    methods = [config[kind]["name"] for kind in ("allocation", "topology") if kind in config]
    asked = ", ".join([f"{config['model']['name']} on {config['data']['name']}", *methods, f"seed {config['seed']}"])
    kept = f"density {100 * record['density']:.3g}%: {params['kept']:,} of {params['total']:,} weights kept"
    return f"{asked} (run {record['id']})\n{kept}"


def _loss(panel: Axes, record: Mapping[str, Any]) -> None:
    drawn = _line(panel, record, "train_loss", "train", _TRAIN)
    drawn += _line(panel, record, "validation_loss", "validation", _VALIDATION)
    _finish(panel, "Loss by epoch", "loss", drawn)
    if drawn:
        panel.set_ylim(bottom=0)


def _accuracy(panel: Axes, record: Mapping[str, Any]) -> None:
    drawn = _line(panel, record, "train_accuracy", "train", _TRAIN)
    drawn += _line(panel, record, "validation_accuracy", "validation", _VALIDATION)
    test = record["metrics"].get("test", {}).get("accuracy")
    if test is not None:
        last = record["history"][-1]["epoch"] if record["history"] else 0
        tested = record.get("selected_epoch", last)
        label = f"test: {100 * test:.2f}%"
        panel.plot([tested], [test], "*", color=_TEST, markersize=14, markeredgecolor="black", label=label, zorder=5)
        drawn += 1
    _finish(panel, "Accuracy by epoch", "accuracy", drawn)
    panel.set_ylim(0, 1.04)
    panel.yaxis.set_major_formatter("{x:.0%}")


def _line(panel: Axes, record: Mapping[str, Any], key: str, label: str, style: Mapping[str, Any]) -> int:
    """Draws one column of the history where it has numbers; returns how many lines that made."""
    points = [(epoch["epoch"], epoch[key]) for epoch in record["history"] if _is_number(epoch.get(key))]
    if not points:
        return 0
    options = {**style, "markersize": 4 if len(points) <= _MOST_MARKERS else 0}
    panel.plot(*zip(*points, strict=True), label=label, **options)
    return 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _finish(panel: Axes, heading: str, label: str, drawn: int) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set(title=heading, xlabel="epoch", ylabel=label)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(alpha=0.3)
    if drawn:
        panel.legend()
    else:
        panel.text(0.5, 0.5, "no epoch was recorded", transform=panel.transAxes, ha="center", va="center")


def _layers(panel: Axes, record: Mapping[str, Any]) -> None:
    layers, overall = record["layers"], record["density"]
    densities = [layer["density"] for layer in layers]
    bars = panel.bar(range(len(layers)), densities, color=_BARS, edgecolor="#20638f", linewidth=0.4, width=0.8)
    panel.axhline(overall, color="black", linestyle=":", linewidth=1)
    if len(layers) <= _MOST_NUMBERS:
        numbers = [f"{100 * density:.3g}" for density in densities]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        panel.bar_label(bars, numbers, fontsize=7, padding=2, bbox=box)
    shown = _labelled(len(layers))
    panel.set_xticks(shown, [layers[i]["name"].removesuffix(".weight") for i in shown], rotation=90, fontsize=7)
    panel.set_xlim(-0.7, max(len(layers), 1) - 0.3)
    panel.set_ylim(0, 1.12 * max([overall, *densities]))
    panel.set(
        title=f"Density by layer ({len(layers)} layers; dotted: {100 * overall:.3g}% of all)", ylabel="weights kept"
    )
    panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)


def _labelled(count: int) -> list[int]:
    """The layers that get a label: evenly spaced, as many as can be read, the last one always."""
    step = max(1, math.ceil(count / _MOST_LABELS))
    return [i for i in range(0, count, step) if count - 1 - i >= step] + [count - 1] * (count > 0)
