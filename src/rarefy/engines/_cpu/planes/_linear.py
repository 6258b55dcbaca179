"""A linear layer over many rows, such as the tokens of a transformer: rows are the lanes of its vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.planes._lower import Network
from rarefy.engines._cpu.planes._network import PlanesNetwork, is_plain
from rarefy.engines._cpu.planes._operations import Maps, Sum, Taps

_MOST_ROWS = 256  # of a group: their features fit into the second cache


class PlanesLinear(nn.Module):
    """A linear layer for predictions that computes kept weights only.

    Args:
        layer: The dense layer; it computes inputs that are not float32 on the CPU.

    Example:
        >>> layer = nn.Linear(4, 2)
        >>> rows = torch.ones(5, 3, 4)
        >>> torch.allclose(PlanesLinear(layer)(rows), layer(rows), atol=1e-6)
        True
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.dense = layer.requires_grad_(False)
        weight = layer.weight.detach().double().numpy()
        k, c = np.nonzero(weight)
        zeros = np.zeros(k.size, np.int64)
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().numpy()
        source, out = Maps(weight.shape[1]), Maps(weight.shape[0])
        operation = Sum(source, out, Taps(k, c, zeros, zeros, weight[k, c]), bias)
        self._planes = PlanesNetwork(Network(source, (operation,), out, out.shape), source.shape)

    def forward(self, inputs: Tensor) -> Tensor:
        """Computes the outputs without gradients."""
        if not is_plain(inputs) or inputs.shape[-1:] != self._planes.input_shape or not inputs.numel():
            with torch.no_grad():
                output: Tensor = self.dense(inputs)
            return output
        rows = inputs.reshape(-1, inputs.shape[-1]).contiguous()
        out = torch.empty(len(rows), *self._planes.output_shape)
        self._planes.predict(rows, min(_MOST_ROWS, -(-len(rows) // LANES) * LANES), out)
        return out.view(*inputs.shape[:-1], -1)
