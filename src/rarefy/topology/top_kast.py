"""Top-K always sparse training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.topology._select import compute_magnitude, mark_highest
from rarefy.topology._update import TOPOLOGIES, Layer, Scope, UpdateStep
from rarefy.topology._update_schedule import check_interval


@TOPOLOGIES.register("top_kast")
@dataclasses.dataclass(frozen=True)
class TopKast:
    """The network uses its largest weights (set A); a larger set (B) is trained, so that a weight can come back.

    Weights that are not used keep their values as dormant weights. The layers of an update carry those values, and the
    update chooses the largest of all weights. The paper's regulariser is left to the optimizer's weight decay.

    Args:
        backward: Extra fraction of each layer that is trained but not used, in [0, 1): with 0.1, 20% of a layer is
            trained if 10% is used.
        interval: Optimizer steps between updates.

    Example:
        >>> weight, mask = torch.tensor([3.0, -1.0, 2.0, 0.5]), torch.tensor([True, False, False, False])
        >>> layer = Layer("fc.weight", weight, mask, None, None, mask, 1, 1)
        >>> TopKast(backward=0.25).backward_masks([layer])["fc.weight"].tolist()
        [True, False, True, False]

    References:
        Jayakumar et al., 2020, arXiv:2106.03517, section 2.
    """

    title: ClassVar[str] = "Top-KAST"
    backward: float = 0.1
    interval: int = 100
    needs: ClassVar[frozenset[str]] = frozenset()
    scope: ClassVar[Scope] = "layer"

    def __post_init__(self) -> None:
        check_interval(self.interval)
        if not 0 <= self.backward < 1:
            raise InvalidInput(
                "backward is the extra fraction of weights that is trained but not used, in [0, 1); "
                f"got {self.backward}.",
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
        """Computes which weights are trained: the kept ones and the largest others, ``backward`` of the layer more."""
        return {layer.name: layer.mask | self._mark_extra(layer) for layer in layers}

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Marks the largest weights of every layer, as many as before."""
        return {layer.name: _mark_largest(layer, torch.ones_like(layer.mask), layer.kept) for layer in layers}

    def _mark_extra(self, layer: Layer) -> Tensor:
        extra = round(self.backward * layer.mask.numel())
        return _mark_largest(layer, ~layer.mask, min(extra, layer.mask.numel() - layer.kept))


def _mark_largest(layer: Layer, candidates: Tensor, count: int) -> Tensor:
    return mark_highest(compute_magnitude(layer.weight), candidates, count)
