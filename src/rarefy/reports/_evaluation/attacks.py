"""Robustness: accuracy when somebody looks for the worst pixels nearby."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Cell, Figure, Section, Sheet, Table, arranged
from rarefy.reports._evaluation._rows import WIDTH, Mark, row_figure
from rarefy.reports._evaluation._runs import Run, having
from rarefy.reports._evaluation._svg import Axis, Panel, spanning

_NUMBERS = ("clean", "clean_interval", "robust", "robust_interval")
_SHAPES: dict[str, Literal["hollow", "dot"]] = {"clean": "hollow", "robust": "dot"}


def attacks(runs: Sequence[Run]) -> Section:
    """Clean and robust accuracy by attack, and accuracy against eps."""
    have, notes = having(runs, "attacks", flags="--attack fgsm,pgd")
    curved, no_curves = having(runs, "robust_curve", flags="--attack fgsm,pgd")
    blocks = arranged(_figures(have, curved))
    blocks += [_table(have)] if have else []
    blocks += [*notes, *(no_curves if have else [])]
    about = (
        "An attack moves every pixel by at most eps, in units of the picture before normalisation (8/255: 8 of 255 "
        "levels). An image counts as robust if it is classified right both as it is and attacked. An attack that fails "
        "proves little: the strongest one counts."
    )
    return Section("attacks", "Adversarial robustness", about, blocks, _sheets(have, curved), legend=True)


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, Run, dict[str, Any]]]:
    for label in dict.fromkeys(label for run in runs for label in run.test("attacks")):
        for run in runs:
            found = run.test("attacks", label)
            if found is not None:
                yield label, run, found


def _figures(runs: Sequence[Run], curved: Sequence[Run]) -> list[Figure]:
    kinds = dict.fromkeys(kind for run in curved for kind in run.test("robust_curve"))
    figures = [_dots(runs)] if runs else []
    return [*figures, *(_curve(curved, kind) for kind in kinds)]


def _dots(runs: Sequence[Run]) -> Figure:
    labels = list(dict.fromkeys(label for label, _, _ in _rows(runs)))
    marks = []
    for label, run, found in _rows(runs):
        for kind, shape in _SHAPES.items():
            bounds = found.get(f"{kind}_interval")
            if kind in found:
                said = f"{run.label}, {label}, {kind}: {words.with_interval(found[kind], bounds)}"
                ends = (bounds[0], bounds[1]) if bounds else None
                marks.append(Mark(labels.index(label), found[kind], run.group, said, shape, ends))
    axis = Axis("accuracy, with 95% interval", 0, 1, say="{:.0%}".format)
    robust = [f"{label}: {run.label} {words.percent(found.get('robust'))}" for label, run, found in _rows(runs)]
    alt, caption = f"Robust accuracy by attack. {'; '.join(robust)}.", "Hollow: clean. Filled: attacked."
    return row_figure("Accuracy by attack", labels, marks, axis, alt=alt, caption=caption, sheet="attacks")


def _curve(runs: Sequence[Run], kind: str) -> Figure:
    lines = [(run, points) for run in runs if (points := _points(run, kind))]
    x = spanning("eps in 255ths", [eps for _, points in lines for eps, _ in points], zero=True)
    panel = Panel(x, Axis("accuracy", 0, 1, say="{:.0%}".format), width=WIDTH)
    said = []
    for run, points in lines:
        panel.line(points, run.group, run.label)
        tips = [f"{run.label}, eps {words.pixels(eps / 255)}: {words.percent(robust)}" for eps, robust in points]
        panel.dots(points, run.group, tips)
        said.append(f"{', '.join(tips[:: max(len(tips) - 1, 1)])}")
    images = words.whole(runs[0].test("robust_curve", kind, "images"))
    alt = f"Accuracy against eps under {kind}: {'; '.join(said)}."
    return Figure(f"Accuracy against eps: {kind}", panel.svg(alt), f"{images} images.", "robust_curve")


def _points(run: Run, kind: str) -> list[tuple[float, float]]:
    """(eps in 255ths, robust accuracy)."""
    return [(255 * eps, robust) for eps, robust in run.rows("robust_curve", kind, of=("eps", "robust"))]


def _table(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = [
        [
            *(label, run.head, words.whole(found.get("images"))),
            *(words.with_interval(found.get(kind), found.get(f"{kind}_interval")) for kind in ("clean", "robust")),
            words.settings(found.get("options") or {}),
        ]
        for label, run, found in _rows(runs)
    ]
    columns = ["attack", "run", "images", "clean", "robust", "options"]
    return Table("Accuracy under attack, with 95% intervals", columns, rows, heads=2, sheet="attacks", long=(5,))


def _sheets(runs: Sequence[Run], curved: Sequence[Run]) -> list[Sheet]:
    rows = []
    for label, run, found in _rows(runs):
        numbers: list[object] = []
        for name in _NUMBERS:
            numbers += (found.get(name) or (None, None)) if name.endswith("interval") else [found.get(name)]
        options = words.settings(found.get("options") or {})
        rows.append([run.name, run.id, label, found.get("attack"), options, found.get("images"), *numbers])
    head = ["name", "id", "label", "attack", "options", "images", "clean", "clean_low", "clean_high", "robust"]
    points = [
        [run.name, run.id, kind, eps, robust, found.get("images")]
        for run in curved
        for kind, found in run.test("robust_curve").items()
        for eps, robust in run.rows("robust_curve", kind, of=("eps", "robust"))
    ]
    return [
        Sheet("attacks", [*head, "robust_low", "robust_high"], rows),
        Sheet("robust_curve", ["name", "id", "attack", "eps", "robust", "images"], points),
    ]
