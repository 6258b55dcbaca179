"""Images from elsewhere: does the net notice?"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rarefy.paths import RunPaths
from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Fold,
    Note,
    Picture,
    Pictures,
    Section,
    Sheet,
    Table,
)
from rarefy.reports._evaluation._runs import Run, having
from rarefy.reports._evaluation._svg import Axis, Panel

_MAIN = "max_softmax"
_NUMBERS = {"auroc": "AUROC", "fpr95": "FPR95", "aupr_in": "AUPR-in", "aupr_out": "AUPR-out"}
_KINDS = {
    "detected": "Detected: images the net is least sure of, as it should be.",
    "missed": "Missed: images it is as sure of as of its own.",
}
_PNG = b"\x89PNG\r\n\x1a\n"


def ood(runs: Sequence[Run]) -> Section:
    """ROC curves by source, numbers by source and score, strips of what was detected and missed."""
    have, notes = having(runs, "ood", flags="--ood cifar100,svhn")
    blocks: list[Block] = [*_curves(have), *_tables(have), *_explain_missing(have), *_examples(have)] if have else []
    about = (
        "A score tells images of the training data's kind (inside) from others (outside); higher means more like the "
        "training data. AUROC is the chance that an inside image scores above an outside one (50%: a coin); FPR95 the "
        "share of outside images let in by the threshold that lets in 95% of the inside ones (less is better); AUPR "
        "depends on how many there are of each."
    )
    return Section("ood", "Out of distribution", about, [*blocks, *notes], _sheets(have), legend=True)


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, str, Run, dict[str, Any]]]:
    """(source, score, run, its numbers), the sources and scores in the order in which they were computed."""
    for source in dict.fromkeys(source for run in runs for source in run.test("ood")):
        for score in _scores(runs):
            for run in runs:
                found = run.test("ood", source, "scores", score)
                if found is not None:
                    yield source, score, run, found


def _scores(runs: Sequence[Run]) -> list[str]:
    """The maximum softmax first, then the others as they come."""
    names = dict.fromkeys(
        score for run in runs for source in run.test("ood").values() for score in source.get("scores", {})
    )
    return sorted(names, key=lambda name: name != _MAIN)


def _curves(runs: Sequence[Run]) -> list[Block]:
    found: dict[str, dict[str, list[tuple[Run, dict[str, Any]]]]] = {}
    for source, score, run, numbers in _rows(runs):
        found.setdefault(score, {}).setdefault(source, []).append((run, numbers))
    if not found:
        return []
    curves = {
        score: Figures([_curve(source, score, lines) for source, lines in sources.items()])
        for score, sources in found.items()
    }
    first = next(iter(curves))
    others = [Fold(score, [figures]) for score, figures in curves.items() if score != first]
    return [curves[first], *([Fold("ROC curves of the other scores", others)] if others else [])]


def _curve(source: str, score: str, lines: Sequence[tuple[Run, dict[str, Any]]]) -> Figure:
    say = "{:.0%}".format
    x, y = Axis("outside images let in", 0, 1, say=say), Axis("inside images let in", 0, 1, say=say)
    panel = Panel(x, y, height=320)
    panel.guide((0, 0), (1, 1))
    for run, numbers in lines:
        grid = run.test("ood", source, "roc_fpr")
        points = list(zip(grid, numbers["roc"], strict=True)) if grid and numbers.get("roc") else []
        if points:
            panel.line(points, run.group, f"{run.label}: AUROC {words.percent(numbers.get('auroc'))}")
    areas = [f"{run.label} has AUROC {words.percent(numbers.get('auroc'))}" for run, numbers in lines]
    alt = f"ROC curve of {score}, images of {source} against those of the test set: {'; '.join(areas)}."
    count = lines[0][0].test("ood", source, "images")
    return Figure(f"{source}, {score}", panel.svg(alt), f"{words.whole(count)} outside images.", "roc")


def _tables(runs: Sequence[Run]) -> list[Block]:
    first, *others = [_table(runs, name, title) for name, title in _NUMBERS.items()]
    return [first, Fold("FPR95, AUPR-in and AUPR-out by source and score", others)]


def _table(runs: Sequence[Run], name: str, title: str) -> Table:
    scores, cells = _scores(runs), {(s, run.id, score): found.get(name) for s, score, run, found in _rows(runs)}
    rows: list[list[Cell]] = [
        [source, run.head, *(words.percent(cells.get((source, run.id, score))) for score in scores)]
        for source in dict.fromkeys(source for source, _, _, _ in _rows(runs))
        for run in runs
        if run.test("ood", source) is not None
    ]
    return Table(f"{title} by source and score", ["source", "run", *scores], rows, heads=2, sheet="ood")


def _explain_missing(runs: Sequence[Run]) -> Iterator[Note]:
    """Why a score that was asked for has no number."""
    for run in runs:
        for source, found in run.test("ood").items():
            for score, why in (found.get("left_out") or {}).items():
                yield Note(f"{run.label}, {source}: {score} was left out. {why}")


def _examples(runs: Sequence[Run]) -> list[Block]:
    folds: list[Block] = []
    for run in runs:
        strips = [_strip(run, source) for source in run.test("ood")]
        strips = [strip for strip in strips if strip.pictures]
        if strips:
            folds.append(Fold(f"Images detected and missed by {run.label}", strips, open=not folds))
    return folds or [Note("There are no pictures of what was detected and what was missed.")]


def _strip(run: Run, source: str) -> Pictures:
    pictures = []
    for kind, words_ in _KINDS.items():
        content = _png(RunPaths(run.folder).example(source, kind))
        if content:
            uri = "data:image/png;base64," + base64.b64encode(content).decode()
            pictures.append(Picture(uri, words_, f"Up to 8 images of {source} that {run.label} {_said(kind)}"))
    return Pictures(source, pictures)


def _said(kind: str) -> str:
    return "told from its test images" if kind == "detected" else "took for images of its own kind"


def _png(path: Path) -> bytes:
    """A picture's bytes, or none where there is no picture."""
    content = path.read_bytes() if path.is_file() else b""
    return content if content.startswith(_PNG) else b""


def _sheets(runs: Sequence[Run]) -> list[Sheet]:
    rows, curve = [], []
    for source, score, run, found in _rows(runs):
        counts = [run.test("ood", source, name) for name in ("images", "inside")]
        rows.append([run.name, run.id, source, score, *counts, *(found.get(name) for name in _NUMBERS)])
        grid = run.test("ood", source, "roc_fpr") or []
        pairs = zip(grid, found.get("roc") or [], strict=False)
        curve += [[run.name, run.id, source, score, fpr, tpr] for fpr, tpr in pairs]
    return [
        Sheet("ood", ["name", "id", "source", "score", "images", "inside", *_NUMBERS], rows),
        Sheet("roc", ["name", "id", "source", "score", "fpr", "tpr"], curve),
    ]
