"""Descriptions of metrics: title, unit and role, read without importing the metrics, which need torch."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from rarefy.registry import list_file_names


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
    folder = Path(__file__).parents[1] / "evaluation" / "metrics"
    names = list_file_names("evaluation/metrics")
    return {name: MetricInfo.model_validate(dict(_read_constants(folder / f"{name}.py"))) for name in names}


def _read_constants(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the class constants of the registered class in a file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(".register" in ast.unparse(mark) for mark in node.decorator_list):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.value, ast.Constant):
                    yield ast.unparse(field.target), field.value.value
