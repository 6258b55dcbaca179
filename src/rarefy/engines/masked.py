"""Computes with torch's dense kernels on weights that contain zeros: as fast as dense, exact, everywhere."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from torch import nn

from rarefy.engines._plan import Plan
from rarefy.engines._use_engine import ENGINES
from rarefy.sparsity import Sparsity


@ENGINES.register("masked")
@dataclasses.dataclass(frozen=True)
class Masked:
    """Leaves the model as it is: torch's dense kernels compute with the zeros. All other engines are tested against it.

    Example:
        >>> Masked()
        Masked()
    """

    supports_compile: ClassVar[bool] = True
    supports_sharding: ClassVar[bool] = True
    fallback: ClassVar[str] = ""

    def __call__(self, model: nn.Module, sparsity: Sparsity, inputs: Any) -> Plan:
        """Plans every layer dense."""
        return Plan("masked", dict.fromkeys(sparsity.masks, "dense"))
