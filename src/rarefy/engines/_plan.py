"""What an engine decided, as plain values: part of the record, and kept so that a rerun decides the same."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

from rarefy.documents import read_json
from rarefy.errors import InvalidInput, RarefyError
from rarefy.paths import replacing
from rarefy.registry import construct

CHANNELS_LAST = "channels_last"
_HOW = {"dense", "sparse", "2:4"}


class PlanError(RarefyError, ValueError):
    """A file that holds no plan, or one of another model; the message names the file."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How each masked layer computes; part of the record.

    Args:
        engine: Name of the engine.
        layers: Layer name to how it computes: ``"dense"``, ``"sparse"`` (only kept values are stored) or ``"2:4"`` (a
            dense weight, sparse products).
        reasons: Layer name to why it has to be dense, where that was no choice.
        reason: Why no layer is sparse, where an engine that could have made them so did not.
        milliseconds: Layer name to ``{"dense": ..., "sparse": ...}``: forward and backward, where measured.
        step_milliseconds: The whole training step, ``{"dense": ..., "sparse": ...}``, where measured; also
            ``"channels_last"``, dense in that order of memory, where that is another one.
        spread: Of the ratio of a sparse step to a dense one while measuring: the distance of its quartiles by its
            median.
        layout: ``"channels_last"`` where dense layers in that order of memory are the fastest of all.
        batch: Shape of the batch it was measured on.
        threads: Threads it was measured with.
        compile_seconds: What compiling or loading the kernels took; no part of the other times.
        source: ``"measured"``, ``"cache"`` (by an earlier run), or the name of the run's file that it was read from;
            empty where nothing was to be measured.
        kept_as: Name of its file in the cache.

    Example:
        >>> layers = {"1.weight": "sparse", "3.weight": "dense"}
        >>> plan = Plan("auto", layers, step_milliseconds={"dense": 9, "sparse": 6})
        >>> plan.sparse, plan.speedup
        (('1.weight',), 1.5)
        >>> print(plan.summary())
        engine auto: 1 of 2 layers sparse, a step takes 6 ms instead of 9 ms (1.50x)
    """

    engine: str
    layers: Mapping[str, str]
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reason: str = ""
    milliseconds: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    step_milliseconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    spread: float = 0.0
    layout: str = ""
    batch: list[int] = dataclasses.field(default_factory=list)
    threads: int | None = None
    compile_seconds: float = 0.0
    source: str = ""
    kept_as: str = ""

    @property
    def sparse(self) -> tuple[str, ...]:
        """Names of the layers that store kept values only."""
        return tuple(name for name, how in self.layers.items() if how == "sparse")

    @property
    def semi_structured(self) -> tuple[str, ...]:
        """Names of the layers whose products are 2:4."""
        return tuple(name for name, how in self.layers.items() if how == "2:4")

    @property
    def speedup(self) -> float | None:
        """How many times faster the whole step is than with every layer dense; None where that was not measured."""
        step = self.step_milliseconds
        return step["dense"] / step["sparse"] if step else None

    def summary(self) -> str:
        """One line for a person."""
        count = len(self.sparse) + len(self.semi_structured)
        text = f"engine {self.engine}: {count} of {len(self.layers)} layers sparse"
        if self.reason:
            return f"{text}: {self.reason}"
        if self.speedup is not None:
            step = self.step_milliseconds
            text += f", a step takes {step['sparse']:.3g} ms instead of {step['dense']:.3g} ms ({self.speedup:.2f}x)"
        if self.source not in ("", "measured"):
            text += ", as measured before"
        if self.layout:
            text += f"; dense in the order {self.layout} would take {self.step_milliseconds[self.layout]:.3g} ms"
        return text


def write(plan: Plan, path: Path, **beside: object) -> None:
    """Writes a plan as JSON, beside `path` and renamed; `beside` are further entries of the file."""
    with replacing(path) as partial:
        partial.write_text(json.dumps({**beside, "plan": dataclasses.asdict(plan)}, indent=1) + "\n")


def read(path: Path) -> tuple[Plan, dict[str, object]]:
    """Reads what `write` wrote: the plan and the further entries.

    Raises:
        PlanError: If the file is damaged.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("plan"), dict):
            raise InvalidInput("a plan is a mapping")
        plan = construct(Plan, "plan", content.pop("plan"))
        _require_sound(plan)
    except ValueError as error:
        raise PlanError(f"{path} holds no plan of an engine: {error}") from None
    return plan, content


def _require_sound(plan: Plan) -> None:
    """Refuses ways to compute that there are not, and times that no clock gives."""
    if not set(plan.layers.values()) <= _HOW:
        raise InvalidInput(f"a layer computes {', '.join(sorted(_HOW))}; {plan.layers} came")
    if plan.layout not in ("", CHANNELS_LAST) or (plan.layout and plan.layout not in plan.step_milliseconds):
        raise InvalidInput(f"the layout is empty, or {CHANNELS_LAST} and measured; {plan.layout!r} came")
    for times in (plan.step_milliseconds, *plan.milliseconds.values()):
        if (times and set(times) - {CHANNELS_LAST} != {"dense", "sparse"}) or not all(
            0 < time < math.inf for time in times.values()
        ):
            raise InvalidInput(f"times are positive, of dense and sparse; {dict(times)} came")
    if not all(size > 0 for size in plan.batch) or (plan.threads is not None and plan.threads < 1):
        raise InvalidInput(f"a batch and threads are 1 or more; {plan.batch} and {plan.threads} came")
