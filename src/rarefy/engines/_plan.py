"""The plan of an engine as plain values: part of the record, and kept so that a rerun computes alike."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from rarefy.documents import read_json
from rarefy.errors import InvalidInput, RarefyError
from rarefy.paths import replace_file
from rarefy.registry import construct

CHANNELS_LAST, CONTIGUOUS = "channels_last", "contiguous"
LAYOUTS = {CHANNELS_LAST: torch.channels_last, CONTIGUOUS: torch.contiguous_format}
"""Names of memory layouts to torch's."""
_MODES = {"dense", "sparse", "2:4"}


class PlanError(RarefyError, ValueError):
    """A file contains no plan, or the plan of another model. The message names the file."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How each masked layer computes; part of the record.

    Args:
        engine: Name of the engine.
        layers: Layer name to how it computes: ``"dense"``, ``"sparse"`` (only kept values are stored) or ``"2:4"`` (a
            dense weight, sparse products).
        reasons: Layer name to why it has to be dense, where it has to.
        reason: Why no layer is sparse, where the engine could have made some sparse.
        milliseconds: Layer name to ``{"dense": ..., "sparse": ...}``: forward and backward, where measured.
        step_milliseconds: The whole training step, ``{"dense": ..., "sparse": ...}``, where measured; also dense in the
            memory layout that the model does not have, ``"channels_last"`` or ``"contiguous"``.
        spread: Interquartile range of the measured ratio of a sparse step to a dense one, divided by its median.
        layout: That layout, where dense layers in it are the fastest.
        batch: Shape of the batch it was measured on.
        threads: Threads it was measured with.
        compile_seconds: Time to compile or load the kernels; not part of the other times.
        source: ``"measured"``, ``"cache"`` (by an earlier run), or the name of the run's file that it was read from;
            empty where nothing had to be measured.
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
        """Names of the layers that compute with 2:4 products."""
        return tuple(name for name, how in self.layers.items() if how == "2:4")

    @property
    def speedup(self) -> float | None:
        """Time of a dense step, in the faster memory layout, by that of a sparse one; None where not measured."""
        step = self.step_milliseconds
        return min(time for how, time in step.items() if how != "sparse") / step["sparse"] if step else None

    def summary(self) -> str:
        """Returns one line for the screen."""
        count = len(self.sparse) + len(self.semi_structured)
        text = f"engine {self.engine}: {count} of {len(self.layers)} layers sparse"
        if self.reason:
            return f"{text}: {self.reason}"
        if self.speedup is not None:
            step = self.step_milliseconds
            text += f", a step takes {step['sparse']:.3g} ms instead of {self.speedup * step['sparse']:.3g} ms"
            text += f" ({self.speedup:.2f}x)"
        if self.source not in ("", "measured"):
            text += ", as measured before"
        if self.layout:
            text += f": dense layers in the layout {self.layout} are the fastest; to use them give use_engine "
            text += "change_layout=True"
        return text


def change_layout(model: nn.Module, layout: str) -> None:
    """Changes the memory layout of a model's weights, in place; does nothing for an empty name."""
    if layout:
        model.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]  # torch's stubs lack it


def write_plan(plan: Plan, path: Path, **entries: object) -> None:
    """Writes a plan as JSON, with further entries, into a temporary file that is then renamed."""
    with replace_file(path) as partial:
        partial.write_text(json.dumps({**entries, "plan": dataclasses.asdict(plan)}, indent=1) + "\n", encoding="utf-8")


def read_plan(path: Path) -> tuple[Plan, dict[str, object]]:
    """Reads a file of `write_plan`: the plan and the further entries.

    Raises:
        PlanError: If the file is damaged.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("plan"), dict):
            raise InvalidInput("a plan is a mapping")
        plan = construct(Plan, "plan", content.pop("plan"))
        _check_values(plan)
    except ValueError as error:
        raise PlanError(f"{path} holds no plan of an engine: {error}") from None
    return plan, content


def _check_values(plan: Plan) -> None:
    """Raises InvalidInput for unknown modes, and for times that cannot be measured."""
    if not set(plan.layers.values()) <= _MODES:
        raise InvalidInput(f"a layer computes {', '.join(sorted(_MODES))}; got {plan.layers}")
    if plan.layout and not (plan.layout in LAYOUTS and plan.layout in plan.step_milliseconds):
        raise InvalidInput(f"the layout is empty, or {' or '.join(LAYOUTS)} and measured; got {plan.layout!r}")
    for times in (plan.step_milliseconds, *plan.milliseconds.values()):
        if (times and set(times) - set(LAYOUTS) != {"dense", "sparse"}) or not all(
            0 < time < math.inf for time in times.values()
        ):
            raise InvalidInput(f"times are positive, of dense and sparse; got {dict(times)}")
    if not all(size > 0 for size in plan.batch) or (plan.threads is not None and plan.threads < 1):
        raise InvalidInput(f"a batch and threads are 1 or more; got {plan.batch} and {plan.threads}")
