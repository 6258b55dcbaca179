"""Initial weights: the paper's rule, and its correction for layers that keep only a part of their inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.models._prunable import find_weights, read_weight


def initialise_weights(model: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """Draws the weights of convolutions and linear layers from N(0, 2 / fan_in), in place.

    The rest stays as PyTorch made it, as in the paper's code: biases from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), batch
    norms with weight 1 and bias 0.

    Args:
        model: Any module.
        generator: Where the numbers come from, on the weights' device; by default torch's own generator.

    Example:
        >>> layer = nn.Linear(50, 400)
        >>> initialise_weights(layer, generator=torch.Generator().manual_seed(17))
        >>> round(layer.weight.std().item(), 2)
        0.2

    References:
        He et al., 2015, arXiv:1502.01852, section 2.2. Liu et al., 2022, arXiv:2202.02643.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, generator=generator)


@torch.no_grad()
def rescale_weights(model: nn.Module, densities: Mapping[str, float]) -> None:
    """Multiplies each named weight by 1 / sqrt(its layer's density), in place.

    A layer of density d sums about d * fan_in inputs, so that N(0, 2 / fan_in) becomes N(0, 2 / (d * fan_in)): signals
    keep their variance at any density. The paper's code divides by the density of the whole network instead.

    Args:
        model: Any module, freshly initialised.
        densities: Fraction kept in (0, 1], by name as ``prunable`` gives them; weights left out stay as they are.

    Raises:
        ValueError: If a name is not that of a weight, or a density is outside (0, 1].

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> _ = nn.init.ones_(layer.weight)
        >>> rescale_weights(layer, {"weight": 0.25})
        >>> layer.weight.tolist()
        [[2.0, 2.0]]
    """
    places = find_weights(model, densities)
    for name, density in densities.items():
        if not 0 < density <= 1:
            raise InvalidInput(f"Cannot rescale_weights {name!r} by density {density}: densities lie in (0, 1].")
    for name, density in densities.items():
        read_weight(name, places[name]).mul_(density**-0.5)
