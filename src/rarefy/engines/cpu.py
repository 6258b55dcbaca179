"""Stores and computes kept weights only, in every layer that supports it, on the CPU."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from torch import nn

from rarefy.engines._plan import Plan
from rarefy.engines._swap import EngineError, get_unsupported_reason, get_unsupported_reasons
from rarefy.engines._use_engine import ENGINES
from rarefy.sparsity import Sparsity


@ENGINES.register("cpu")
@dataclasses.dataclass(frozen=True)
class Cpu:
    """Makes every linear and 2-D convolution layer sparse that can be, whether that is faster or not.

    Depthwise convolutions, layers that keep every weight, subclasses and layers with hooks stay dense; the plan says
    which and why.

    Raises:
        EngineError: If the model is not on the CPU, or its topology trains pruned weights.

    Example:
        >>> Cpu()
        Cpu()
    """

    supports_compile: ClassVar[bool] = False
    supports_sharding: ClassVar[bool] = False
    fallback: ClassVar[str] = ""

    def __call__(self, model: nn.Module, sparsity: Sparsity, inputs: Any) -> Plan:
        """Plans sparse layers wherever possible."""
        reason = get_unsupported_reason(sparsity)
        if reason:
            raise EngineError(f"The engine 'cpu' does not work here: {reason}. Use the engine 'masked'.")
        reasons = {name: why for name, why in get_unsupported_reasons(model, sparsity).items() if why}
        layers = {name: "dense" if name in reasons else "sparse" for name in sparsity.masks}
        return Plan("cpu", layers, reasons)
