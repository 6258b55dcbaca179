"""Memory-economic sparse training: elastic mutation."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

from rarefy.topology._drop_and_grow import DropAndGrow, UpdateRules
from rarefy.topology._drops.mest import WeightAndGradient
from rarefy.topology._update import TOPOLOGIES


@TOPOLOGIES.register("mest")
@dataclasses.dataclass(frozen=True)
class ElasticMutation(DropAndGrow):
    """Drops the weights with the smallest ``|w| + gradient_weight * |gradient|``, grows as many at random.

    Only gradients of kept weights are used: a small weight that grows fast is kept.

    Args:
        fraction: Fraction of a layer's weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        schedule: How the fraction falls: ``linear``, ``cosine`` or ``constant``.
        stop: Fraction of all steps after which nothing moves.
        gradient_weight: The paper's lambda, at least 0; 0 is plain magnitude.

    Example:
        >>> ElasticMutation().needs
        frozenset({'gradient'})

    References:
        Yuan et al., 2021, arXiv:2110.14032, section 3.
    """

    title: ClassVar[str] = "MEST"
    fraction: float = 0.3
    interval: int = 100
    schedule: str = "linear"
    stop: float = 0.75
    gradient_weight: float = 0.01

    @functools.cached_property
    def rules(self) -> UpdateRules:
        """Drop by size and gradient, grow at random."""
        return self.build_rules(WeightAndGradient(self.gradient_weight), "random")
