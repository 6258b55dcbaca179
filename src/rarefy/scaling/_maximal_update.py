"""Factors of the maximal update parametrisation, for a layer of any width and density."""

from __future__ import annotations

import math
from typing import Literal

from rarefy.errors import InvalidInput
from rarefy.scaling._scale import Factors, LayerRatio, OptimizerKind

Initialiser = Literal["fan_in", "constant"]
Decay = Literal["constant", "with_rate"]


def compute_factors(ratio: LayerRatio, optimizer: OptimizerKind, initialiser: Initialiser, decay: Decay) -> Factors:
    """Computes the factors by which outputs, and their changes in a step, have the size they have in the base network.

    A unit sums ``terms = density * inputs`` as many products as in the base network. Weights are random at first, so
    that their variance goes with 1 / terms. Steps are aligned with the inputs, so that a step of a weight goes with
    1 / terms: that of Adam is its rate; that of SGD is its rate times a gradient, which goes with 1 / outputs.

    Args:
        ratio: The layer's size.
        optimizer: Kind of optimizer.
        initialiser: What the initial weights follow already, see `rarefy.scaling.supar.SuPar`.
        decay: What weight decay follows, see there.
    """
    terms = ratio.density * ratio.inputs
    rate = (ratio.outputs if optimizer == "sgd" else 1.0) / terms
    return Factors(
        initial=math.sqrt(_compute_variance(ratio, initialiser)),
        rate=rate,
        decay=1 / rate if decay == "constant" else 1.0,
        eps=1 / ratio.outputs,
    )


def _compute_variance(ratio: LayerRatio, initialiser: Initialiser) -> float:
    """Computes the factor of the initial variance that is left to apply.

    The output layer's width is fixed: its weights must not be larger than the steps of a wide network, 1 / inputs.
    """
    is_output = ratio.outputs == 1 and ratio.inputs != 1
    width = 1 if initialiser == "fan_in" else 1 / ratio.inputs
    return width / ratio.density / (ratio.inputs if is_output else 1)


def check_base_width(base_width: int | None) -> None:
    """Raises InvalidInput if a base width is given that is no width."""
    if base_width is not None and base_width < 1:
        raise InvalidInput(f"base_width is 1 or more; got {base_width}.", name="base_width", value=base_width)
