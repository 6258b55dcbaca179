"""The protocol of scaling rules, their registry, and ``scale``."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal, Protocol

from rarefy.errors import InvalidInput, MethodError
from rarefy.registry import Registry

OptimizerKind = Literal["adam", "sgd"]


@dataclasses.dataclass(frozen=True)
class LayerRatio:
    """The size of a parameter, relative to the same one in the base network: the one whose hyper-parameters are known.

    Args:
        density: Fraction of weights kept / fraction kept in the base network.
        inputs: Inputs of a unit (the fan-in, pruned ones included) / those in the base network; 1 for vectors.
        outputs: Outputs (the fan-out) / those in the base network.

    Example:
        >>> LayerRatio(density=0.25).inputs
        1.0
    """

    density: float = 1.0
    inputs: float = 1.0
    outputs: float = 1.0


@dataclasses.dataclass(frozen=True)
class Factors:
    """What to multiply the hyper-parameters of the base network by, for one parameter.

    Args:
        initial: Factor of its initial values.
        rate: Factor of its learning rate.
        decay: Factor of its weight decay, where the optimizer multiplies decay by the learning rate.
        eps: Factor of Adam's eps.

    Example:
        >>> Factors(rate=4.0).decay
        1.0
    """

    initial: float = 1.0
    rate: float = 1.0
    decay: float = 1.0
    eps: float = 1.0


class ScalingRule(Protocol):
    """A rule by which hyper-parameters follow density and width: a frozen dataclass registered in ``SCALINGS``.

    Attributes:
        needs_fixed_counts: Whether the rule holds only while every layer keeps as many weights as at the start.
        base_density: Density of the base network; 1 where the rule has no such option.
    """

    needs_fixed_counts: ClassVar[bool]

    @property
    def base_density(self) -> float:
        """Density of the base network, in (0, 1]."""
        ...

    def __call__(self, ratio: LayerRatio, optimizer: OptimizerKind) -> Factors:
        """Computes the factors of one parameter; call it through `scale`, which checks them."""
        ...


SCALINGS: Registry[ScalingRule] = Registry("scaling", "scalings")


def scale(rule: ScalingRule, ratio: LayerRatio, optimizer: OptimizerKind = "adam") -> Factors:
    """Computes the factors of one parameter's hyper-parameters.

    Args:
        rule: A method of ``SCALINGS``.
        ratio: Its size, relative to the base network.
        optimizer: ``"adam"`` for optimizers that divide a gradient by its size (Adam, AdamW, Adamax, NAdam, RMSprop,
            Lion), ``"sgd"`` for those whose steps are proportional to it. Without differences in width the factors of
            the rules here are the same for both.

    Raises:
        InvalidInput: If a ratio is not positive.
        MethodError: If a factor of the rule is not.

    Example:
        >>> scale(SCALINGS.build("supar"), LayerRatio(density=0.25)).rate
        4.0
    """
    for name, value in dataclasses.asdict(ratio).items():
        if not 0 < value < math.inf:
            raise InvalidInput(f"Ratios are above 0; {name} is {value}.", name=name, value=value)
    factors = rule(ratio, optimizer)
    for name, value in dataclasses.asdict(factors).items():
        if not 0 < value < math.inf:
            raise MethodError(f"{rule!r} gave the factor {name}={value} for {ratio}; factors are above 0.")
    return factors
