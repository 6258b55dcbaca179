"""Computes 2:4 semi-structured products on a GPU's sparse tensor cores."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from torch import nn

from rarefy.engines._gpu import get_dense_reasons, require_gpu_support
from rarefy.engines._plan import Plan
from rarefy.engines._use_engine import ENGINES
from rarefy.sparsity import Sparsity


@ENGINES.register("nm")
@dataclasses.dataclass(frozen=True)
class SemiStructured:
    """Computes linear layers and 1x1 convolutions with 2:4 masks by sparse kernels, whether that is faster or not.

    The forward product and the gradient of the inputs are sparse; the gradient of the weights is a dense product.
    Weights stay dense parameters that are packed at each use, so optimizers and checkpoints do not change. Other layers
    compute as with the engine ``masked``; the plan says which and why. Products are in float16 or bfloat16, so call
    `use_engine` under `torch.autocast`, or with a model of such weights. Inputs in float32 (an evaluation outside of
    autocast) take the dense kernels.

    Needs a GPU of compute capability 8.0 or newer, masks drawn with the pattern ``"2:4"`` (or zeros that follow it),
    and the topology ``static``. torch's sparse tensors are a prototype, so one product is tried before any is used.

    Raises:
        EngineError: If one of these is missing; the message says which.

    Example:
        >>> SemiStructured()
        SemiStructured()

    References:
        Mishra et al., 2021, arXiv:2104.08378; Hubara et al., 2021, arXiv:2102.08124 (masks for both passes).
    """

    supports_compile: ClassVar[bool] = False
    supports_sharding: ClassVar[bool] = False
    fallback: ClassVar[str] = ""

    def __call__(self, model: nn.Module, sparsity: Sparsity, inputs: Any) -> Plan:
        """Plans sparse products wherever possible."""
        require_gpu_support(sparsity)
        dense = {name: why for name, why in get_dense_reasons(sparsity).items() if why}
        return Plan("nm", {name: "dense" if name in dense else "2:4" for name in sparsity.masks}, dense)
