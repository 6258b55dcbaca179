"""Adversarial robustness: accuracy under the worst small change of the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rarefy.reports.evaluation._page_runs import PageRun, average_seeds, select_runs
from rarefy.reports.figures import Axis, Figure, Mark, Series, Sheet, build_row_figure, fit_axis
from rarefy.reports.pages import (
    Section,
    Table,
    arrange_figures,
    format_count,
    format_options,
    format_percent,
    format_pixels,
    format_with_interval,
    make_columns,
    make_file_name,
)

_NUMBERS = ("clean", "clean_interval", "robust", "robust_interval")
_KINDS: dict[str, Literal["hollow", "dots"]] = {"clean": "hollow", "robust": "dots"}


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: clean and robust accuracy by attack, and accuracy against eps."""
    attacked, notes = select_runs(runs, "attacks", flags="--attack fgsm,pgd")
    curved, no_curves = select_runs(runs, "robust_curve", flags="--attack fgsm,pgd")
    sheet, attacks = _list_curves(curved), dict.fromkeys(name for run in curved for name in run.test("robust_curve"))
    curves = [_draw_curve(curved, attack, sheet) for attack in attacks]
    blocks = arrange_figures([*([_draw_attacks(attacked)] if attacked else []), *curves])
    blocks += [_build_table(attacked)] if attacked else []
    blocks += [*notes, *(no_curves if attacked else [])]
    about = (
        "An attack moves every pixel by at most eps, in units of the picture before normalisation (8/255: 8 of 255 "
        "levels). An image counts as robust if it is classified correctly both clean and attacked. An attack that "
        "fails proves little: the strongest one counts."
    )
    return Section("attacks", "Adversarial robustness", about, blocks)


def _read_attacks(runs: Sequence[PageRun]) -> Iterator[tuple[str, PageRun, dict[str, Any]]]:
    for label in dict.fromkeys(label for run in runs for label in run.test("attacks")):
        for run in runs:
            numbers = run.test("attacks", label)
            if numbers is not None:
                yield label, run, numbers


def _draw_attacks(runs: Sequence[PageRun]) -> Figure:
    labels = list(dict.fromkeys(label for label, _, _ in _read_attacks(runs)))
    marks = []
    for label, run, numbers in _read_attacks(runs):
        for name, kind in _KINDS.items():
            bounds = numbers.get(f"{name}_interval")
            if name in numbers:
                tip = f"{run.label}, {label}, {name}: {format_with_interval(numbers[name], bounds)}"
                interval = (bounds[0], bounds[1]) if bounds else None
                series = f"{run.name}, {name}"
                marks.append(Mark(labels.index(label), numbers[name], run.style, series, tip, kind, interval))
    axis = Axis("accuracy, %, with 95% interval", "accuracy", 100.0, span=(-0.01, 1.01))
    robust = [f"{label}: {run.label} {format_percent(n.get('robust'))}" for label, run, n in _read_attacks(runs)]
    return build_row_figure(
        "attacks", "Accuracy by attack", labels, marks, axis, caption="Hollow: clean. Filled: attacked.",
        description=f"Robust accuracy by attack. {'; '.join(robust)}.", sheet=_list_attacks(runs),
    )  # fmt: skip


def _draw_curve(runs: Sequence[PageRun], attack: str, sheet: Sheet) -> Figure:
    series, ends = [], []
    for line in average_seeds(runs, lambda run: run.rows("robust_curve", attack, columns=("eps", "robust"))):
        eps, robust = zip(*line.points, strict=True)
        tips = tuple(f"{line.label}, eps {format_pixels(at)}: {format_percent(value)}" for at, value in line.points)
        series.append(Series(line.label, line.style, eps, robust, tips=tips))
        ends.append(", ".join(tips[:: max(len(tips) - 1, 1)]))
    x = fit_axis("eps, in 255ths", "eps", [eps for s in series for eps in s.x], scale=255.0, zero=True)
    y = Axis("accuracy, %", "robust", 100.0, span=(-0.01, 1.01))
    images = format_count(runs[0].test("robust_curve", attack, "images"))
    return Figure(
        make_file_name("robust_curve", attack), f"Accuracy against eps: {attack}", x, y, tuple(series),
        f"{images} images.", f"Accuracy against eps under {attack}: {'; '.join(ends)}.", sheet,
    )  # fmt: skip


def _build_table(runs: Sequence[PageRun]) -> Table:
    rows = [
        [
            *(label, run.head, format_count(numbers.get("images"))),
            *(format_with_interval(numbers.get(name), numbers.get(f"{name}_interval")) for name in _KINDS),
            format_options(numbers.get("options") or {}),
        ]
        for label, run, numbers in _read_attacks(runs)
    ]
    columns = make_columns("attack", "run", "images", "clean", "robust", "options", texts=(0, 1, 5))
    caption = "Accuracy under attack, with 95% intervals"
    return Table("", caption, columns, rows, heads=2, sheet=_list_attacks(runs))


def _list_attacks(runs: Sequence[PageRun]) -> Sheet:
    rows = []
    for label, run, found in _read_attacks(runs):
        numbers: list[object] = []
        for name in _NUMBERS:
            numbers += (found.get(name) or (None, None)) if name.endswith("interval") else [found.get(name)]
        options = format_options(found.get("options") or {})
        rows.append([run.name, run.id, label, found.get("attack"), options, found.get("images"), *numbers])
    columns = ["name", "id", "label", "attack", "options", "images"]
    return Sheet("attacks", [*columns, *(f"{n}{end}" for n in _KINDS for end in ("", "_low", "_high"))], rows)


def _list_curves(runs: Sequence[PageRun]) -> Sheet:
    rows = [
        [run.name, run.id, attack, eps, robust, numbers.get("images")]
        for run in runs
        for attack, numbers in run.test("robust_curve").items()
        for eps, robust in run.rows("robust_curve", attack, columns=("eps", "robust"))
    ]
    return Sheet("robust_curve", ["name", "id", "attack", "eps", "robust", "images"], rows)
