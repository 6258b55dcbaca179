"""What `rarefy eval` adds: calibration, out-of-distribution detection, attacks and corruptions, against density."""

from __future__ import annotations

import dataclasses
import fnmatch
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from rarefy.reports._nested import get_nested
from rarefy.reports.figures import Axis, Figure, Series
from rarefy.reports.pages import Block, Figures, Fold, Section, format_density, make_file_name
from rarefy.reports.study._density_curves import draw_all_against_density, draw_sparsest
from rarefy.reports.study._study import RunGroup, Study
from rarefy.reports.study.accuracy import build_wide_table

_SCORE = "max_softmax"


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of an evaluation.

    Args:
        anchor: Its id on the page.
        title: Its heading.
        about: What its numbers mean.
        metrics: Names of its metrics; a ``*`` stands for anything.
        flags: Flags of `rarefy eval` that compute it.

    Example:
        >>> ATTACKS.flags
        '--attack fgsm'
    """

    anchor: str
    title: str
    about: str
    metrics: tuple[str, ...]
    flags: str


CALIBRATION = Part(
    "calibration",
    "Calibration",
    "ECE: mean distance between confidence and accuracy over 15 bins; NLL: mean cross-entropy; Brier: squared distance "
    "to the one-hot label. Lower is better. The temperature is fitted on validation images.",
    ("calibration.before.ece", "calibration.after.ece", "loss", "calibration.before.brier"),
    "--calibration",
)
OOD = Part(
    "ood",
    "Out of distribution",
    "AUROC of the maximum softmax: the probability that a test image scores above one from elsewhere (50% is chance).",
    (f"ood.*.scores.{_SCORE}.auroc",),
    "--ood cifar100,svhn",
)
ATTACKS = Part(
    "attacks",
    "Adversarial robustness",
    "Share of images that are classified correctly both clean and attacked.",
    ("attacks.*.robust",),
    "--attack fgsm",
)
CORRUPTIONS = Part(
    "corruptions",
    "Corruptions",
    "Mean error over the common corruptions and their severities. Lower is better.",
    ("corruptions.mean_error",),
    "--corruptions",
)
PARTS = (CALIBRATION, OOD, ATTACKS, CORRUPTIONS)


def build_sections(study: Study) -> list[Section]:
    """Builds one section per part of the evaluation that any run has, and one of other headline metrics."""
    parts = [section for part in PARTS if (section := _build_section(study, part)).blocks]
    others = _find_others(study)
    about = "Metrics of your own that are marked as headline metrics."
    blocks = [block for metric in others for block in _draw_metric(study, metric)]
    return [*parts, *([Section("other", "Other metrics", about, blocks)] if blocks else [])]


def find_metrics(study: Study, part: Part) -> list[str]:
    """Finds the metrics of a part that any run has."""
    names = dict.fromkeys(name for group in study.groups for name in group.numbers)
    return [name for pattern in part.metrics for name in fnmatch.filter(names, pattern)]


def _find_others(study: Study) -> list[str]:
    """Finds the headline metrics that no section shows."""
    shown = {"accuracy", *(name for part in PARTS for name in find_metrics(study, part))}
    names = dict.fromkeys(name for group in study.groups for name in group.numbers)
    return [name for name in names if name not in shown and name in study.infos and study.infos[name].is_headline]


def _build_section(study: Study, part: Part) -> Section:
    blocks = [block for metric in find_metrics(study, part) for block in _draw_metric(study, metric)]
    if part is OOD:
        blocks += _draw_rocs(study)
    return Section(part.anchor, part.title, part.about, blocks)


def _draw_metric(study: Study, metric: str) -> list[Block]:
    title = study.describe_metric(metric).title
    having = [groups for groups in study.networks.values() if any(metric in group.numbers for group in groups)]
    tables = [build_wide_table(study, groups, metric) for groups in having]
    figures = draw_all_against_density(study, list(study.networks), metric)
    return [Figures(title, figures, make_file_name("panels", metric)), Fold(f"Tables: {title}", tables)]


def _draw_rocs(study: Study) -> Iterator[Block]:
    for network, groups in study.networks.items():
        records = [record for group in groups for record in group.records]
        sources = dict.fromkeys(name for record in records for name in get_nested(record, *_OOD) or {})
        figures = [figure for source in sources if (figure := _draw_roc(study, source, groups))]
        if figures:
            yield Fold(f"ROC curves of {_SCORE} at the sparsest: {network}", [Figures("", figures)])


_OOD = ("metrics", "test", "ood")


def _draw_roc(study: Study, source: str, groups: Sequence[RunGroup]) -> Figure | None:
    def build_figure(network: str, density: float, series: Sequence[Series]) -> Figure:
        x = Axis("outside images accepted, %", "fpr", 100.0, span=(0.0, 1.0))
        y = Axis("inside images accepted, %", "tpr", 100.0, span=(0.0, 1.01))
        name = make_file_name("roc", source, network, f"density {density:g}")
        title = f"ROC, {source}, {format_density(density)}: {network}"
        return Figure(name, title, x, y, tuple(series), "The mean over seeds.")

    return draw_sparsest(study, groups, lambda group: _build_curve(study, source, group), build_figure)


def _build_curve(study: Study, source: str, group: RunGroup) -> Series | None:
    """Builds the mean over seeds of the ROC curves, which all have one grid."""
    rates = [_read_rates(record, source) for record in group.records]
    grids = {grid for grid, _ in rates}
    if len(grids) != 1 or not all(grids):
        return None
    means = tuple(statistics.fmean(values) for values in zip(*(roc for _, roc in rates), strict=True))
    return Series(group.method, study.styles[group.method], grids.pop(), means, kind="curve")


def _read_rates(record: Any, source: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    grid = get_nested(record, *_OOD, source, "roc_fpr") or ()
    roc = get_nested(record, *_OOD, source, "scores", _SCORE, "roc") or ()
    return (tuple(grid), tuple(roc)) if len(grid) == len(roc) else ((), ())
