"""Titles of all metrics of a record, by dotted name: the one place that says how a number is called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rarefy.records._metric_info import MetricInfo

_SIDES = {"before": "", "after": " after temperature"}

# Pattern of a dotted name, title with the pattern's groups, whether it is a fraction, whether higher is better.
_PARTS: tuple[tuple[str, str, bool, bool | None], ...] = (
    (r"ood\.(.+)\.scores\.max_softmax\.auroc", "AUROC, {0}", True, True),
    (r"ood\.(.+)\.scores\.(\w+)\.auroc", "AUROC of {1}, {0}", True, True),
    (r"ood\.(.+)\.scores\.(\w+)\.fpr95", "FPR95 of {1}, {0}", True, False),
    (r"ood\.(.+)\.scores\.(\w+)\.aupr_(in|out)", "AUPR-{2} of {1}, {0}", True, True),
    (r"attacks\.(.+)\.robust", "Robust accuracy, {0}", True, True),
    (r"attacks\.(.+)\.clean", "Clean accuracy, {0}", True, True),
    (r"corruptions\.mean_error", "Mean corruption error", True, False),
    (r"calibration\.temperature", "Temperature", False, None),
    (r"flow\.gradient_norm\.initial\.total", "Gradient norm before training", False, None),
    (r"flow\.gradient_norm\.final\.total", "Gradient norm after training", False, None),
    (r"flow\.effective_density\.effective_density", "Effective density", True, None),
    (r"flow\.dead_units\.fraction", "Dead units", True, None),
    (r"flow\.hessian\.eigenvalue", "Top Hessian eigenvalue", False, None),
)


def describe_metric(name: str, infos: Mapping[str, MetricInfo]) -> MetricInfo:
    """Describes a metric by its dotted name below ``metrics.test``; one that nobody describes is called by its name.

    Args:
        name: Its dotted name: ``accuracy``, ``calibration.after.ece``, ``ood.svhn.scores.max_softmax.auroc``.
        infos: Descriptions of metrics by their last part, from `describe_metrics`.

    Example:
        >>> from rarefy.records import describe_metrics
        >>> infos = describe_metrics({})
        >>> describe_metric("calibration.after.ece", infos).title, describe_metric("attacks.pgd.robust", infos).title
        ('ECE after temperature', 'Robust accuracy, pgd')
        >>> describe_metric("flow.images", infos).title
        'flow.images'
    """
    if name in infos:
        return _give_title(infos[name], infos[name].title or name)
    if match := re.fullmatch(r"calibration\.(before|after)\.(\w+)", name):
        info = infos.get(match[2], MetricInfo())
        return _give_title(info, (info.title or match[2]) + _SIDES[match[1]])
    for pattern, title, is_fraction, higher in _PARTS:
        if match := re.fullmatch(pattern, name):
            text = title.format(*match.groups())
            return MetricInfo(title=text, unit="fraction" if is_fraction else "", higher_is_better=higher)
    return MetricInfo(title=name)


def _give_title(info: MetricInfo, title: str) -> MetricInfo:
    return info.model_copy(update={"title": title})
