"""2:4 semi-structured products on a GPU's sparse tensor cores."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from torch import nn

from rarefy.engines._gpu import reasons, require
from rarefy.engines._plan import Plan
from rarefy.engines._use_engine import ENGINES
from rarefy.sparsity import Sparsity


@ENGINES.register("nm")
@dataclasses.dataclass(frozen=True)
class SemiStructured:
    """Computes linear layers and 1x1 convolutions with 2:4 masks by sparse kernels, whether that is faster or not.

    Forward, and backward to the inputs; the gradient of the weights is a dense product. Weights stay dense parameters,
    packed where they are used, so optimizers, checkpoints and everything else know nothing of it. Other layers are as
    with the engine ``masked``; the plan says which and why. Products are in float16 or bfloat16, so the engine is
    installed under `torch.autocast`, or in a model of such weights; what runs in float32 nevertheless (an evaluation
    outside of autocast) takes the dense kernels.

    Needs a GPU of compute capability 8.0 or newer, masks drawn with the pattern ``"2:4"`` (or zeros that follow it),
    and a topology that leaves them there. torch's sparse tensors are a prototype: one is tried before any is relied on.

    Raises:
        EngineError: If any of that is missing; the message says what.

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
        """Sparse products wherever possible."""
        require(sparsity)
        dense = {name: why for name, why in reasons(sparsity).items() if why}
        return Plan("nm", {name: "dense" if name in dense else "2:4" for name in sparsity.masks}, dense)
