"""What a run costs: weights, FLOPs, bytes, and times on the machine that measured them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rarefy.reports._nested import get_nested
from rarefy.reports.pages import format_plural, format_quantity, format_seconds
from rarefy.reports.study._study import RunGroup

Values = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Cost:
    """A quantity that sparsity lowers.

    Args:
        name: Its name in files.
        title: Title of its figures.
        label: Label of its axis.
        words: What is said of a gain, of a loss and of neither: ``{:.1f} times fewer FLOPs``.
        read: Reads it from a record; None where there is none.
        format: Formats it.
        is_time: Whether it is a time, which can be compared on one machine only.
        is_drawn: Whether accuracy is drawn against it.
    """

    name: str
    title: str
    label: str
    words: tuple[str, str, str]
    read: Callable[[Values], float | None]
    format: Callable[[float | None], str]
    is_time: bool = False
    is_drawn: bool = True


def list_costs(groups: Sequence[RunGroup]) -> list[Cost]:
    """Lists the costs that at least two of the groups of a network have, times only if all are of one machine."""
    records = [record for group in groups for record in group.records]
    batches = dict.fromkeys(batch for record in records for batch in get_nested(record, *_COST, "latency") or {})
    costs = [*_COSTS, *(_make_prediction_cost(batch) for batch in batches)]
    is_one_machine = len({_identify_machine(record) for record in records}) == 1
    return [cost for cost in costs if (is_one_machine or not cost.is_time) and len(read_costs(groups, cost)) > 1]


def read_costs(groups: Sequence[RunGroup], cost: Cost) -> dict[str, float]:
    """Reads a cost of each group that has it: the median over its seeds, by the group's name."""
    values = ((group.name, [value for r in group.records if (value := cost.read(r))]) for group in groups)
    return {name: statistics.median(several) for name, several in values if several}


def describe_gains(groups: Sequence[RunGroup], sparse: RunGroup, base: RunGroup) -> Iterator[str]:
    """Describes what a sparse group saves: ``5.0 times fewer FLOPs``, ``3.1 times faster steps``."""
    for cost in list_costs(groups):
        values = read_costs([sparse, base], cost)
        if len(values) == 2 and (text := _describe_gain(cost, values[base.name] / values[sparse.name])):
            yield text


def takes_as_long(groups: Sequence[RunGroup], sparse: RunGroup, base: RunGroup) -> bool:
    """Whether times were measured and none of them differs."""
    costs = [read_costs([sparse, base], cost) for cost in list_costs(groups) if cost.is_time]
    factors = [values[base.name] / values[sparse.name] for values in costs if len(values) == 2]
    return bool(factors) and all(_ABOUT_ONE < factor < 1 / _ABOUT_ONE for factor in factors)


def _describe_gain(cost: Cost, factor: float) -> str:
    gain, loss, same = cost.words
    if _ABOUT_ONE < factor < 1 / _ABOUT_ONE:
        return same
    return gain.format(factor) if factor > 1 else loss.format(1 / factor)


_COST = ("metrics", "test", "cost")
_ABOUT_ONE = 0.95  # factors from here on are called equal


def _read_weights(record: Values) -> float | None:
    kept: float | None = get_nested(record, "params", "kept")
    return kept


def _read_flops(record: Values) -> float | None:
    flops: float | None = get_nested(record, *_COST, "flops", "kept")
    return flops


def _read_bytes(record: Values) -> float | None:
    on_disk: float | None = (record.get("files") or {}).get("model.safetensors")
    return on_disk or get_nested(record, *_COST, "bytes", "model")


def _read_step(record: Values) -> float | None:
    """Reads the time of a training step: the images of a batch over the images of a second."""
    speed = get_nested(record, "timing", "images_per_second")
    batch = get_nested(record, "config", "training", "batch_size")
    return batch / speed if speed and batch else None


def _format_bytes(value: float | None) -> str:
    return format_quantity(value, "B")


_COSTS = (
    Cost(
        "weights", "Weights", "weights kept",
        ("{:.1f} times fewer weights", "{:.1f} times more weights", "as many weights"),
        _read_weights, format_quantity, is_drawn=False,
    ),
    Cost(
        "flops", "FLOPs", "FLOPs of an image",
        ("{:.1f} times fewer FLOPs", "{:.1f} times more FLOPs", "as many FLOPs"), _read_flops, format_quantity,
    ),
    Cost(
        "bytes", "Bytes on disk", "bytes on disk",
        ("a {:.1f} times smaller file", "a {:.1f} times larger file", "a file as large"), _read_bytes, _format_bytes,
    ),
    Cost(
        "step", "Training step", "time of a step",
        ("{:.1f} times faster steps", "steps {:.1f} times slower", ""), _read_step, format_seconds, is_time=True,
    ),
)  # fmt: skip


def _make_prediction_cost(batch: str) -> Cost:
    images = format_plural(int(batch), "image")

    def read_latency(record: Values) -> float | None:
        seconds: float | None = get_nested(record, *_COST, "latency", batch, "seconds")
        return seconds

    what = f"prediction of {images}"
    words = (f"{{:.1f}} times faster {what}", f"{what} {{:.1f}} times slower", "")
    title = f"Prediction of {images}"
    return Cost(f"prediction-{batch}", title, "time", words, read_latency, format_seconds, is_time=True)


def _identify_machine(record: Values) -> tuple[Any, ...]:
    return tuple(get_nested(record, "environment", part) for part in ("device_name", "machine", "device", "threads"))
