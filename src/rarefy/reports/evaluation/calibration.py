"""Calibration: whether confidence equals accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rarefy.reports.evaluation._page_runs import PageRun, group_runs, select_runs
from rarefy.reports.figures import Axis, Figure, Series, Sheet
from rarefy.reports.pages import Block, Figures, Label, Section, Table, format_number, format_percent, make_columns

_SIDES = ("before", "after")
_FEW, _FAINT = 0.01, 0.3  # share of the images below which a bin is faint, and how much of its colour is left
_COLUMNS = ("ece", "ece_mass", "classwise_ece", "loss", "brier")


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: reliability diagrams and errors, before and after the temperature."""
    selected, notes = select_runs(runs, "calibration", flags="--calibration")
    blocks: list[Block] = []
    if selected:
        sheet = _list_bins(selected)
        blocks = [Figures("", [_draw_reliability(selected, side, sheet) for side in _SIDES]), _build_table(selected)]
    about = (
        "A network is calibrated if, of the predictions made with confidence c, a fraction c is correct. ECE is the "
        "mean distance from that over 15 bins of equal width (of equal mass; class by class). The temperature divides "
        "the logits; it was fitted on the validation images only, and all numbers are of the test images."
    )
    return Section("calibration", "Calibration", about, [*blocks, *notes])


def _read_bins(run: PageRun, side: str) -> Iterator[tuple[int, int, float | None, float | None]]:
    """Yields (number of the bin, images, confidence, accuracy)."""
    rows = run.rows("calibration", side, "reliability", columns=("images", "confidence", "accuracy"))
    yield from ((number, *row) for number, row in enumerate(rows))


def _draw_reliability(runs: Sequence[PageRun], side: str, sheet: Sheet) -> Figure:
    x, y = (Axis(f"{name}, %", name, 100.0, span=(0.0, 1.02)) for name in ("confidence", "accuracy"))
    series = [Series("", 0, (0.0, 1.0), (0.0, 1.0), kind="guide")]
    series += [one for head, members in group_runs(runs).items() for one in _build_series(head, members, side)]
    errors = [f"{run.label} has ECE {format_percent(run.test('calibration', side, 'ece'))}" for run in runs]
    return Figure(
        f"reliability-{side}", f"Reliability {side} the temperature", x, y, tuple(series),
        "Below the diagonal: overconfident. Larger dots: bins of more images, all runs of a name together; faint: "
        f"bins of less than {_FEW:.0%} of the images, which the line leaves out.",
        f"Accuracy against confidence, {side} the temperature: {'; '.join(errors)}.", sheet, height=480,
    )  # fmt: skip


def _pool_bins(runs: Sequence[PageRun], side: str) -> list[tuple[int, float, float]]:
    """Pools the bins of several runs: (images, their mean confidence, their accuracy) of each bin that has images."""
    bins: dict[int, list[tuple[int, float, float]]] = {}
    for run in runs:
        for number, images, confidence, accuracy in _read_bins(run, side):
            if images and confidence is not None and accuracy is not None:
                bins.setdefault(number, []).append((images, confidence, accuracy))
    pooled = []
    for _, parts in sorted(bins.items()):
        count = sum(images for images, _, _ in parts)
        confidence, accuracy = (sum(part[0] * part[at] for part in parts) / count for at in (1, 2))
        pooled.append((count, confidence, accuracy))
    return pooled


def _build_series(head: Label, runs: Sequence[PageRun], side: str) -> Iterator[Series]:
    """Yields a line through the bins that have enough images, and dots that show how many."""
    bins = _pool_bins(runs, side)
    if not bins:
        return
    name = runs[0].label if len(runs) == 1 else f"{head.text}, {len(runs)} runs"
    counts, x, y = zip(*bins, strict=True)
    shares = [count / sum(counts) for count in counts]
    tips = tuple(
        f"{name}: {images} images, confidence {format_percent(confidence, 1)}, accuracy {format_percent(accuracy, 1)}"
        for images, confidence, accuracy in bins
    )
    held = [at for at, share in enumerate(shares) if share >= _FEW]
    line_x, line_y = (tuple(values[at] for at in held) for values in (x, y))
    yield Series(name, head.style, line_x, line_y, tips=tuple(tips[at] for at in held), kind="curve")
    opacities = tuple(1.0 if share >= _FEW else _FAINT for share in shares)
    label = f"{name}, images per bin"
    yield Series(label, head.style, x, y, tips=tips, kind="dots", sizes=tuple(shares), opacities=opacities)


def _build_table(runs: Sequence[PageRun]) -> Table:
    rows = []
    for run in runs:
        for side in _SIDES:
            numbers = run.test("calibration", side) or {}
            errors = [format_percent(numbers.get(name)) for name in _COLUMNS[:3]]
            losses = [format_number(numbers.get(name)) for name in _COLUMNS[3:]]
            rows.append([run.head, side, format_number(_get_temperature(run, side), 3), *errors, *losses])
    columns = make_columns(
        "run", "", "temperature", "ECE", "ECE, equal mass", "ECE, classwise", "NLL", "Brier", texts=2
    )
    return Table("", "Calibration errors", columns, rows, heads=2, sheet=_list_errors(runs))


def _get_temperature(run: PageRun, side: str) -> float | None:
    temperature: float | None = run.test("calibration", "temperature")
    return temperature if side == "after" else 1.0


def _list_errors(runs: Sequence[PageRun]) -> Sheet:
    rows = [
        [
            *(run.name, run.id, side, _get_temperature(run, side)),
            *(run.test("calibration", side, name) for name in _COLUMNS),
        ]
        for run in runs
        for side in _SIDES
    ]
    return Sheet("calibration", ["name", "id", "side", "temperature", *_COLUMNS], rows)


def _list_bins(runs: Sequence[PageRun]) -> Sheet:
    rows = [[run.name, run.id, side, *row] for run in runs for side in _SIDES for row in _read_bins(run, side)]
    return Sheet("reliability", ["name", "id", "side", "bin", "images", "confidence", "accuracy"], rows)
