"""Descriptions of metrics: title, unit and role, read without importing the metrics, which need torch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from rarefy.registry import read_method_constants


class MetricInfo(pydantic.BaseModel):
    """Title, unit and role of a metric: the class constants of a metric with these names.

    Example:
        >>> MetricInfo(title="Top-5 accuracy", unit="fraction").is_headline
        False
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    title: str = pydantic.Field("", description="Title in tables and figures; empty: the metric's name.")
    unit: Literal["fraction", "nats", ""] = pydantic.Field(
        "", description="`fraction` is shown in percent, other values as they are."
    )
    higher_is_better: bool | None = pydantic.Field(None, description="Whether a larger value is better, if either is.")
    is_headline: bool = pydantic.Field(False, description="Whether it is compared and reported without being named.")
    uses_confidence: bool = pydantic.Field(
        False, description="Whether it is part of `calibration`, before and after temperature scaling."
    )


def describe_metrics(test: Mapping[str, Any]) -> dict[str, MetricInfo]:
    """Describes the metrics of rarefy, and those of plug-ins that a record has.

    Args:
        test: ``metrics.test`` of a record.

    Returns:
        Descriptions by name of the metric.

    Example:
        >>> infos = describe_metrics({"described": {"mine": {"title": "My metric"}}})
        >>> infos["loss"].unit, infos["mine"].title
        ('nats', 'My metric')
    """
    recorded = test.get("described") or {}
    return {**_read_builtin(), **{name: MetricInfo.model_validate(values) for name, values in recorded.items()}}


@functools.cache
def _read_builtin() -> Mapping[str, MetricInfo]:
    methods = read_method_constants("evaluation/metrics")
    return {name: MetricInfo.model_validate(method.constants) for name, method in methods.items()}
