"""What `rarefy eval` adds: calibration, images from elsewhere, attacks and corruptions, each against density."""

from __future__ import annotations

import dataclasses
import fnmatch
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from rarefy.reports._evaluation._runs import dig
from rarefy.reports._study._blocks import Block, Figures, Fold, Section, Sheet, share, slug
from rarefy.reports._study._curves import against_density
from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._study import Cell, Study, by_method, dense_of
from rarefy.reports._study.accuracy import wide

_SCORE = "max_softmax"


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of an evaluation.

    Args:
        anchor: Its id in the page.
        title: Its heading.
        about: What its numbers mean.
        metrics: Pattern of a metric's name to its title; the ``*`` of a pattern goes into the ``{}`` of the title.
        flags: What `rarefy eval` needs in order to compute it.

    Example:
        >>> ATTACKS.flags
        '--attack fgsm'
    """

    anchor: str
    title: str
    about: str
    metrics: dict[str, str]
    flags: str


CALIBRATION = Part(
    "calibration",
    "Calibration",
    "ECE: mean distance between confidence and accuracy over 15 bins; NLL: mean cross-entropy; Brier: squared distance "
    "to the one-hot label. Less is better. The temperature is fitted on validation images.",
    {
        "calibration.before.ece": "ECE",
        "calibration.after.ece": "ECE after temperature",
        "loss": "NLL",
        "calibration.before.brier": "Brier",
    },
    "--calibration",
)
OOD = Part(
    "ood",
    "Out of distribution",
    "AUROC of the maximum softmax: the chance that a test image scores above one from elsewhere (50% is a coin).",
    {f"ood.*.scores.{_SCORE}.auroc": "AUROC, {}"},
    "--ood cifar100,svhn",
)
ATTACKS = Part(
    "attacks",
    "Adversarial robustness",
    "Share of images that are classified right both as they are and attacked.",
    {"attacks.*.robust": "Robust accuracy, {}"},
    "--attack fgsm",
)
CORRUPTIONS = Part(
    "corruptions",
    "Corruptions",
    "Mean error over the common corruptions and their severities. Less is better.",
    {"corruptions.mean_error": "Mean corruption error"},
    "--corruptions",
)
PARTS = (CALIBRATION, OOD, ATTACKS, CORRUPTIONS)
_IN_NATURE = ("loss", "brier")  # metrics that are no shares


def evaluated(study: Study) -> list[Section]:
    """A section a part of the evaluation that any run has."""
    return [section for part in PARTS if (section := _section(study, part)).blocks]


def metrics_of(study: Study, part: Part) -> dict[str, str]:
    """Names of a part's metrics that any run has, with their titles."""
    known = dict.fromkeys(name for cell in study.cells for name in cell.numbers)
    found = {}
    for pattern, title in part.metrics.items():
        for name in (name for name in known if fnmatch.fnmatchcase(name, pattern)):
            before, _, after = pattern.partition("*")
            found[name] = title.format(name[len(before) : len(name) - len(after)])
    return found


def _section(study: Study, part: Part) -> Section:
    blocks: list[Block] = []
    for metric, title in metrics_of(study, part).items():
        points = not metric.endswith(_IN_NATURE)
        label = title + (", %" if points else "")
        drawn = [against_density(study, panel, metric, title, label, points=points) for panel in study.panels]
        figures = [figure for figure in drawn if figure]
        having = [cells for cells in study.panels.values() if any(metric in cell.numbers for cell in cells)]
        tables = [Sheet(wide(cells, metric, title, points=points)) for cells in having]
        blocks += [Figures(title, figures), Fold(f"Tables: {title}", tables)]
    if part is OOD:
        blocks += _rocs(study)
    return Section(part.anchor, part.title, part.about, blocks)


def _rocs(study: Study) -> Iterator[Block]:
    for panel, cells in study.panels.items():
        records = [record for cell in cells for record in cell.records]
        sources = dict.fromkeys(name for record in records for name in dig(record, *_TEST, "ood") or {})
        figures = [figure for source in sources if (figure := _sparsest_roc(study, panel, source, cells))]
        if figures:
            yield Fold(f"ROC curves of {_SCORE} at the sparsest: {panel}", [Figures("", figures)])


def _sparsest_roc(study: Study, panel: str, source: str, cells: Sequence[Cell]) -> Figure | None:
    drawn = (_roc(study, panel, source, cells, density) for density in study.densities)
    return next((figure for figure in drawn if figure), None)


_TEST = ("metrics", "test")


def _roc(study: Study, panel: str, source: str, cells: Sequence[Cell], density: float) -> Figure | None:
    sparse = [cell for several in by_method(cells).values() for cell in several if cell.density == density]
    dense = dense_of(cells)
    series = [one for cell in [*([dense] if dense else []), *sparse] if (one := _curve(study, source, cell))]
    if not any(one.style >= 0 for one in series):
        return None
    ends = (0.0, 1.0)
    x = Axis("outside images let in, %", "fpr", 100.0, span=ends)
    y = Axis("inside images let in, %", "tpr", 100.0, span=(0.0, 1.01))
    name = slug("roc", source, panel, f"density {density:g}")
    return Figure(name, f"ROC, {source}, {share(density)}: {panel}", x, y, tuple(series), "The mean over seeds.")


def _curve(study: Study, source: str, cell: Cell) -> Series | None:
    """The mean over seeds of the share of inside images at each share of outside ones; all runs share one grid."""
    found = [_rates(record, source) for record in cell.records]
    grids = {grid for grid, _ in found if grid}
    if len(grids) != 1 or not all(grid for grid, _ in found):
        return None
    x = next(iter(grids))
    y = tuple(statistics.fmean(rates) for rates in zip(*(rates for _, rates in found), strict=True))
    return Series(cell.method, study.style(cell.method), x, y, kind="curve")


def _rates(record: Any, source: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    grid = dig(record, *_TEST, "ood", source, "roc_fpr") or ()
    roc = dig(record, *_TEST, "ood", source, "scores", _SCORE, "roc") or ()
    return (tuple(grid), tuple(roc)) if len(grid) == len(roc) else ((), ())
