"""Measures every layer and the whole step, and makes sparse what is faster so."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, ClassVar

import torch
from torch import nn

from rarefy.engines import _cache, _measure
from rarefy.engines._budget import start_budget
from rarefy.engines._cpu import KernelsMissing, get_compile_seconds, require_numba
from rarefy.engines._inputs import get_first_tensor
from rarefy.engines._plan import LAYOUTS, Plan
from rarefy.engines._selection import select_layers
from rarefy.engines._swap import EngineError, get_unsupported_reason, get_unsupported_reasons
from rarefy.engines._use_engine import ENGINES
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")
_SHOWN = {"shown": True}  # the command line puts it on the screen


@ENGINES.register("auto")
@dataclasses.dataclass(frozen=True)
class Auto:
    """Makes layers sparse where that is measured to be faster, and none if the whole step is not.

    Each layer is timed forward and backward, dense against sparse, on inputs as they reach it. Then whole training
    steps are timed in alternation: all layers dense, in both memory layouts; sparse the layers that won or nearly did;
    sparse all that can be; sparse those that won. The fastest is the plan. It is kept for this machine, model, batch
    and number of threads (see `rarefy.engines.use_engine` for a run's own copy), so that the next run computes alike.
    Where the times scattered, or a training's steps turned out slower (`rarefy.engines.check_step_time`), a later run
    measures again, three times in all at most. On a GPU, under a topology that trains pruned weights, or where numba
    cannot be imported, all layers stay dense and the plan says why.

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
        """Plans what is fastest."""
        reasons = {name: reason for name, reason in get_unsupported_reasons(model, sparsity).items() if reason}
        reason = get_unsupported_reason(sparsity)
        if len(reasons) == len(sparsity.masks):
            reason = reason or "no layer has a sparse form or prunes anything"
        try:
            if not reason:
                require_numba()
        except KernelsMissing as error:
            reason = str(error)
            _LOG.info("Without sparse kernels: %s", error, extra={"noted": True})
        if reason:
            return Plan("auto", dict.fromkeys(sparsity.masks, "dense"), reasons, reason)
        if inputs is None:
            raise EngineError("The engine 'auto' measures: give it a batch of inputs, use_engine(..., inputs=inputs).")
        key = _cache.make_key(model, sparsity, inputs, reasons)
        plan, seconds = _cache.find_plan(key), get_compile_seconds()
        if plan is None:
            _LOG.info("measuring which layers are faster sparse", extra=_SHOWN)
            try:
                measured = _measure_plan(model, sparsity, inputs, reasons)
            except Exception as error:  # a model may do anything; one that cannot be measured trains as it is
                reason = f"a step with sparse layers could not be measured ({type(error).__name__}: {error})"
                _LOG.info("All layers stay dense: %s", reason, extra={"noted": True})
                return Plan("auto", dict.fromkeys(sparsity.masks, "dense"), reasons, reason)
            plan = _cache.store_plan(key, measured)
        return dataclasses.replace(plan, compile_seconds=round(get_compile_seconds() - seconds, 3))


def _measure_plan(model: nn.Module, sparsity: Sparsity, inputs: Any, reasons: dict[str, str]) -> Plan:
    supported = [name for name in sparsity.masks if name not in reasons]
    budget = start_budget()
    times = _measure.time_layers(model, sparsity, supported, inputs, budget=budget)
    selection = select_layers(
        supported, times, lambda candidates: _measure.time_steps(model, sparsity, candidates, inputs, budget=budget)
    )
    fastest = min(selection.milliseconds, key=lambda how: selection.milliseconds[how])
    return Plan(
        "auto",
        {name: "sparse" if name in selection.layers else "dense" for name in sparsity.masks},
        reasons,
        "" if selection.layers else "the whole step is not faster with sparse layers than with dense ones",
        {name: _round_times(of_layer) for name, of_layer in times.items()},
        _round_times(selection.milliseconds),
        round(selection.spread, 3),
        fastest if fastest in LAYOUTS else "",
        list(get_first_tensor(inputs).shape),
        torch.get_num_threads(),
        source="measured",
    )


def _round_times(times: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in times.items()}
