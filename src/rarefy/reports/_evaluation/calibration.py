"""Calibration: is a net as often right as it is sure?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Block, Cell, Figure, Figures, Section, Sheet, Table
from rarefy.reports._evaluation._runs import Run, having
from rarefy.reports._evaluation._svg import Axis, Panel

_SIDES = ("before", "after")
_COLUMNS = ("ece", "ece_mass", "classwise_ece", "loss", "brier")


def calibration(runs: Sequence[Run]) -> Section:
    """Reliability diagrams and errors, before and after the temperature."""
    have, notes = having(runs, "calibration", flags="--calibration")
    blocks: list[Block] = [_diagrams(have), _table(have)] if have else []
    about = (
        "A net is calibrated if of the answers it gives with confidence c a share c is right. ECE is the mean distance "
        "from that over 15 bins of equal width (of equal mass; class by class). The temperature divides the logits; it "
        "was fitted on the validation images only, and all numbers are of the test images."
    )
    return Section("calibration", "Calibration", about, [*blocks, *notes], _sheets(have), legend=True)


def _bins(run: Run, side: str) -> Iterator[tuple[int, int, float | None, float | None]]:
    """(number of the bin, images, confidence, accuracy)."""
    rows = run.rows("calibration", side, "reliability", of=("images", "confidence", "accuracy"))
    yield from ((at, *row) for at, row in enumerate(rows))


def _diagrams(runs: Sequence[Run]) -> Figures:
    titles = ("Reliability before the temperature", "Reliability after the temperature")
    caption = "Below the diagonal: too sure. The larger a dot, the more images are in its bin."
    sides = zip(titles, _SIDES, strict=True)
    return Figures([Figure(title, _diagram(runs, side), caption, "reliability") for title, side in sides])


def _diagram(runs: Sequence[Run], side: str) -> str:
    say = "{:.0%}".format
    panel = Panel(Axis("confidence", 0, 1, say=say), Axis("accuracy", 0, 1, say=say), height=320)
    panel.guide((0, 0), (1, 1))
    for run in runs:
        bins = [(images, sure, right) for _, images, sure, right in _bins(run, side) if images]
        total = sum(images for images, _, _ in bins)
        points = [(sure, right) for _, sure, right in bins if sure is not None and right is not None]
        said = [
            f"{run.label}: {images} images, confidence {words.percent(sure, 1)}, accuracy {words.percent(right, 1)}"
            for images, sure, right in bins
        ]
        panel.line(points, run.group, run.label)
        panel.dots(points, run.group, said, [1.5 + 6 * (images / total) ** 0.5 for images, _, _ in bins])
    errors = [f"{run.label} has ECE {words.percent(run.test('calibration', side, 'ece'))}" for run in runs]
    return panel.svg(f"Accuracy against confidence, {side} the temperature: {'; '.join(errors)}.")


def _table(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = []
    for run in runs:
        for side in _SIDES:
            found = run.test("calibration", side) or {}
            ours = run.test("calibration", "temperature") if side == "after" else 1.0
            errors = [words.percent(found.get(name)) for name in _COLUMNS[:3]]
            losses = [words.number(found.get(name)) for name in _COLUMNS[3:]]
            rows.append([run.head, side, words.number(ours, 3), *errors, *losses])
    columns = ["run", "", "temperature", "ECE", "ECE, equal mass", "ECE, classwise", "NLL", "Brier"]
    return Table("Calibration errors", columns, rows, heads=2, sheet="calibration")


def _sheets(runs: Sequence[Run]) -> list[Sheet]:
    sides = [(run, side) for run in runs for side in _SIDES]
    errors = [
        [
            *(run.name, run.id, side, run.test("calibration", "temperature") if side == "after" else 1.0),
            *(run.test("calibration", side, name) for name in _COLUMNS),
        ]
        for run, side in sides
    ]
    bins = [[run.name, run.id, side, *row] for run, side in sides for row in _bins(run, side)]
    return [
        Sheet("calibration", ["name", "id", "side", "temperature", *_COLUMNS], errors),
        Sheet("reliability", ["name", "id", "side", "bin", "images", "confidence", "accuracy"], bins),
    ]
