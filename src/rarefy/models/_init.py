"""Initial weights by the paper's rule."""

from __future__ import annotations

import torch
from torch import nn


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
