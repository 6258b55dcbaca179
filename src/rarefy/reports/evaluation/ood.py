"""Out-of-distribution detection: whether a score tells foreign images from the network's own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rarefy.paths import RunPaths
from rarefy.reports.evaluation._page_runs import PageRun, average_seeds, select_runs
from rarefy.reports.figures import Axis, Figure, Series, Sheet
from rarefy.reports.pages import (
    Block,
    Figures,
    Fold,
    Note,
    Picture,
    Pictures,
    Section,
    Table,
    format_count,
    format_percent,
    make_columns,
    make_file_name,
)

_MAIN = "max_softmax"
_NUMBERS = {"auroc": "AUROC", "fpr95": "FPR95", "aupr_in": "AUPR-in", "aupr_out": "AUPR-out"}
_KINDS = {
    "detected": "Detected: the images with the lowest confidence, as it should be.",
    "missed": "Missed: images with as much confidence as the network's own.",
}
_PNG = b"\x89PNG\r\n\x1a\n"


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: ROC curves by source, numbers by source and score, images detected and missed."""
    selected, notes = select_runs(runs, "ood", flags="--ood cifar100,svhn")
    blocks: list[Block] = []
    if selected:
        blocks = [*_draw_rocs(selected), *_build_tables(selected), *_explain_gaps(selected), *_show_examples(selected)]
    about = (
        "A score separates images of the training data's kind (inside) from others (outside); higher means more like "
        "the training data. AUROC is the probability that an inside image scores above an outside one (50% is "
        "chance). FPR95 is the share of outside images accepted by the threshold that accepts 95% of the inside ones "
        "(lower is better). AUPR depends on how many there are of each."
    )
    return Section("ood", "Out of distribution", about, [*blocks, *notes])


def _read_scores(runs: Sequence[PageRun]) -> Iterator[tuple[str, str, PageRun, dict[str, Any]]]:
    """Yields (source, score, run, its numbers), in the order in which they were computed."""
    for source in dict.fromkeys(source for run in runs for source in run.test("ood")):
        for score in _list_scores(runs):
            for run in runs:
                numbers = run.test("ood", source, "scores", score)
                if numbers is not None:
                    yield source, score, run, numbers


def _list_scores(runs: Sequence[PageRun]) -> list[str]:
    """Lists the maximum softmax first, then the others as they were computed."""
    names = dict.fromkeys(
        score for run in runs for source in run.test("ood").values() for score in source.get("scores", {})
    )
    return sorted(names, key=lambda name: name != _MAIN)


def _draw_rocs(runs: Sequence[PageRun]) -> list[Block]:
    lines: dict[str, dict[str, list[tuple[PageRun, dict[str, Any]]]]] = {}
    for source, score, run, numbers in _read_scores(runs):
        lines.setdefault(score, {}).setdefault(source, []).append((run, numbers))
    sheet = _list_rocs(runs)
    blocks = {
        score: Figures("", [_draw_roc(source, score, runs_, sheet) for source, runs_ in sources.items()])
        for score, sources in lines.items()
    }
    first, *others = [*blocks] or [""]
    folds = [Fold(score, [blocks[score]]) for score in others]
    return [*([blocks[first]] if first else []), *([Fold("ROC curves of the other scores", folds)] if folds else [])]


def _draw_roc(source: str, score: str, lines: Sequence[tuple[PageRun, dict[str, Any]]], sheet: Sheet) -> Figure:
    series = [Series("", 0, (0.0, 1.0), (0.0, 1.0), kind="guide")]
    for line in average_seeds([run for run, _ in lines], lambda run: _read_roc(run, source, score)):
        x, y = zip(*line.points, strict=True)
        series.append(Series(line.label, line.style, x, y, kind="curve"))
    areas = [f"{run.label} has AUROC {format_percent(numbers.get('auroc'))}" for run, numbers in lines]
    count = lines[0][0].test("ood", source, "images")
    return Figure(
        make_file_name("roc", source, score), f"{source}, {score}",
        Axis("outside images accepted, %", "fpr", 100.0, span=(0.0, 1.0)),
        Axis("inside images accepted, %", "tpr", 100.0, span=(0.0, 1.01)), tuple(series),
        f"{format_count(count)} outside images.",
        f"ROC curve of {score}, images of {source} against those of the test set: {'; '.join(areas)}.",
        sheet, height=480,
    )  # fmt: skip


def _read_roc(run: PageRun, source: str, score: str) -> list[tuple[float, float]]:
    grid, roc = run.test("ood", source, "roc_fpr") or (), run.test("ood", source, "scores", score, "roc") or ()
    return list(zip(grid, roc, strict=True)) if len(grid) == len(roc) else []


def _build_tables(runs: Sequence[PageRun]) -> list[Block]:
    sheet = _list_numbers(runs)
    first, *others = [_build_table(runs, name, title, sheet) for name, title in _NUMBERS.items()]
    return [first, Fold("FPR95, AUPR-in and AUPR-out by source and score", others)]


def _build_table(runs: Sequence[PageRun], name: str, title: str, sheet: Sheet) -> Table:
    scores = _list_scores(runs)
    cells = {(source, run.id, score): numbers.get(name) for source, score, run, numbers in _read_scores(runs)}
    rows = [
        [source, run.head, *(format_percent(cells.get((source, run.id, score))) for score in scores)]
        for source in dict.fromkeys(source for run in runs for source in run.test("ood"))
        for run in runs
        if run.test("ood", source) is not None
    ]
    columns = make_columns("source", "run", *scores, texts=2)
    return Table("", f"{title} by source and score", columns, rows, heads=2, sheet=sheet)


def _explain_gaps(runs: Sequence[PageRun]) -> Iterator[Note]:
    """Explains why a requested score has no number."""
    for run in runs:
        for source, numbers in run.test("ood").items():
            for score, reason in (numbers.get("left_out") or {}).items():
                yield Note(f"{run.label}, {source}: {score} was left out. {reason}")


def _show_examples(runs: Sequence[PageRun]) -> list[Block]:
    folds: list[Block] = []
    for run in runs:
        strips = [_read_strip(run, source) for source in run.test("ood")]
        strips = [strip for strip in strips if strip.pictures]
        if strips:
            folds.append(Fold(f"Images detected and missed by {run.label}", strips, is_open=not folds))
    return folds or [Note("There are no pictures of detected and missed images.")]


def _read_strip(run: PageRun, source: str) -> Pictures:
    pictures = []
    for kind, caption in _KINDS.items():
        content = _read_png(RunPaths(run.folder).example(source, kind))
        if content:
            uri = "data:image/png;base64," + base64.b64encode(content).decode()
            verb = "told from its test images" if kind == "detected" else "mistook for images of its own kind"
            pictures.append(Picture(uri, caption, f"Up to 8 images of {source} that {run.label} {verb}"))
    return Pictures(source, pictures)


def _read_png(path: Path) -> bytes:
    """Reads a picture; no bytes if there is none."""
    content = path.read_bytes() if path.is_file() else b""
    return content if content.startswith(_PNG) else b""


def _list_numbers(runs: Sequence[PageRun]) -> Sheet:
    rows = []
    for source, score, run, numbers in _read_scores(runs):
        counts = [run.test("ood", source, name) for name in ("images", "inside")]
        rows.append([run.name, run.id, source, score, *counts, *(numbers.get(name) for name in _NUMBERS)])
    return Sheet("ood", ["name", "id", "source", "score", "images", "inside", *_NUMBERS], rows)


def _list_rocs(runs: Sequence[PageRun]) -> Sheet:
    rows = []
    for source, score, run, numbers in _read_scores(runs):
        points = zip(run.test("ood", source, "roc_fpr") or [], numbers.get("roc") or [], strict=False)
        rows += [[run.name, run.id, source, score, fpr, tpr] for fpr, tpr in points]
    return Sheet("roc", ["name", "id", "source", "score", "fpr", "tpr"], rows)
