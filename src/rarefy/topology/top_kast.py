"""Top-K always sparse training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._schedule import check_interval
from rarefy.topology._select import highest, magnitude
from rarefy.topology._update import TOPOLOGIES, Layer, Moment, Scope


@TOPOLOGIES.register("top_kast")
@dataclasses.dataclass(frozen=True)
class TopKast:
    """The network uses its largest weights (set A); a larger set (B) is trained, so that a weight can come back.

    The weights that are not used keep their values in a reserve: the layers handed to this method carry them, and an
    update chooses among all of them by size. The paper's regulariser is left to the optimizer's weight decay.

    Args:
        backward: How much denser B is than A, in [0, 1): 0.1 trains 20% of a layer of which 10% is used.
        interval: Optimizer steps between updates.

    Example:
        >>> weight, mask = torch.tensor([3.0, -1.0, 2.0, 0.5]), torch.tensor([True, False, False, False])
        >>> layer = Layer("fc.weight", weight, mask, None, None, mask, 1, 1)
        >>> TopKast(backward=0.25).backward_masks([layer])["fc.weight"].tolist()
        [True, False, True, False]

    References:
        Jayakumar et al., 2020, arXiv:2106.03517, section 2.
    """

    backward: float = 0.1
    interval: int = 100
    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"
    reserve: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_interval(self.interval)
        if not 0 <= self.backward < 1:
            raise InvalidInput(
                f"backward is what B has more than A as a fraction of the layer, in [0, 1); got {self.backward}.",
                name="backward",
                value=self.backward,
            )

    def is_due(self, step: int, steps: int | None) -> bool:
        """Every ``interval`` steps, to the end."""
        return step % self.interval == 0

    def initial_density(self, density: float) -> float:
        """The density itself."""
        return density

    def backward_masks(self, layers: Sequence[Layer]) -> dict[str, Tensor]:
        """Which weights are trained: those kept and the largest of the others, ``backward`` of the layer more."""
        return {layer.name: layer.mask | self._extra(layer) for layer in layers}

    def __call__(self, layers: Sequence[Layer], moment: Moment) -> dict[str, Tensor]:
        """The largest weights of every layer, as many as before."""
        return {layer.name: _largest(layer, torch.ones_like(layer.mask), layer.kept) for layer in layers}

    def _extra(self, layer: Layer) -> Tensor:
        more = round(self.backward * layer.mask.numel())
        return _largest(layer, ~layer.mask, min(more, layer.mask.numel() - layer.kept))


def _largest(layer: Layer, among: Tensor, count: int) -> Tensor:
    return highest(magnitude(layer.weight), among, count)
