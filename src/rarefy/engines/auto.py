"""Measures every layer and the whole step, and keeps sparse what is faster so."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, ClassVar

import torch
from torch import nn

from rarefy.engines import _cache, _measure
from rarefy.engines._choice import choose
from rarefy.engines._cpu import KernelsMissing, compile_kernels
from rarefy.engines._inputs import first_tensor
from rarefy.engines._plan import CHANNELS_LAST, Plan
from rarefy.engines._swap import EngineError, obstacle, obstacles
from rarefy.engines._use_engine import ENGINES
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")
_SHOWN = {"shown": True}  # the command line puts it on the screen


@ENGINES.register("auto")
@dataclasses.dataclass(frozen=True)
class Auto:
    """Makes sparse what measuring shows to be faster so, and nothing if the whole step is not.

    Each layer is timed forward and backward, dense against sparse, on inputs as the batch causes them; then whole
    training steps take turns: all dense, in both orders of memory, the layers that won, and all that can be sparse.
    The fastest is the plan. It is kept for this machine, model, batch and number of threads (see
    `rarefy.engines.use_engine` for a run's own copy), so that the next run computes alike; where it was measured amid
    noise, or a training's steps turned out slower (`rarefy.engines.check_step_time`), a later run measures again,
    three times in all at most. On a GPU, under a topology that trains pruned weights, or where numba cannot be
    imported, all layers stay dense and the plan says why.

    Raises:
        EngineError: If there is no batch to measure on.

    Example:
        >>> Auto()
        Auto()
    """

    supports_compile: ClassVar[bool] = False
    supports_sharding: ClassVar[bool] = False
    fallback: ClassVar[str] = "masked"

    def __call__(self, model: nn.Module, sparsity: Sparsity, inputs: Any) -> Plan:
        """What is faster."""
        reasons = {name: why for name, why in obstacles(model, sparsity).items() if why}
        reason = obstacle(sparsity)
        if len(reasons) == len(sparsity.masks):
            reason = reason or "no layer has a sparse form or prunes anything"
        try:
            seconds = 0.0 if reason else _loaded()
        except KernelsMissing as error:
            reason, seconds = str(error), 0.0
            _LOG.info("Without sparse kernels: %s", error, extra={"noted": True})
        if reason:
            return Plan("auto", dict.fromkeys(sparsity.masks, "dense"), reasons, reason)
        if inputs is None:
            raise EngineError("The engine 'auto' measures: give it a batch of inputs, use_engine(..., inputs=inputs).")
        about = _cache.key(model, sparsity, inputs, reasons)
        plan = _cache.find(about)
        if plan is None:
            _LOG.info("measuring which layers are faster sparse", extra=_SHOWN)
            try:
                measured = _measured(model, sparsity, inputs, reasons)
            except Exception as error:  # a model may do anything; what cannot be measured trains as it is
                reason = f"a step with sparse layers could not be measured ({type(error).__name__}: {error})"
                _LOG.info("All layers stay dense: %s", reason, extra={"noted": True})
                return Plan("auto", dict.fromkeys(sparsity.masks, "dense"), reasons, reason)
            plan = _cache.keep(about, measured)
        return dataclasses.replace(plan, compile_seconds=seconds)


def _loaded() -> float:
    """Seconds until the kernels are there."""
    _LOG.info("loading the sparse kernels; a machine compiles them once, for tens of seconds", extra=_SHOWN)
    return compile_kernels()


def _measured(model: nn.Module, sparsity: Sparsity, inputs: Any, reasons: dict[str, str]) -> Plan:
    able = [name for name in sparsity.masks if name not in reasons]
    times = _measure.layer_times(model, sparsity, able, inputs)
    choice = choose(able, times, lambda plans: _measure.step_times(model, sparsity, plans, inputs))
    fastest = min(choice.milliseconds, key=lambda how: choice.milliseconds[how])
    return Plan(
        "auto",
        {name: "sparse" if name in choice.layers else "dense" for name in sparsity.masks},
        reasons,
        "" if choice.layers else "the whole step is not faster with sparse layers than with dense ones",
        {name: _rounded(of_layer) for name, of_layer in times.items()},
        _rounded(choice.milliseconds),
        round(choice.spread, 3),
        CHANNELS_LAST if fastest == CHANNELS_LAST else "",
        list(first_tensor(inputs).shape),
        torch.get_num_threads(),
        source="measured",
    )


def _rounded(times: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in times.items()}
