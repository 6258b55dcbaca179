"""Dead units: ReLUs that are 0 on all of a sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.dispatch_modes import EagerMode
from rarefy.errors import InvalidInput
from rarefy.evaluation._predictions import predict

RELUS = {torch.ops.aten.relu.default, torch.ops.aten.relu_.default}


class _Fired(EagerMode):
    """Records which units of each ReLU call were above 0 for any image, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[Tensor] = []
        self.call = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in RELUS:
            self._note(out)
        return out

    def _note(self, out: Tensor) -> None:
        units = 1 if out.ndim in (2, 4, 5) else out.ndim - 1  # channels of images, features of sequences
        above = (out > 0).transpose(0, units).flatten(1).any(1)
        if self.call < len(self.fired):
            self.fired[self.call] |= above
        else:
            self.fired.append(above)
        self.call += 1


def count_dead_units(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, object]:
    """Counts the units whose activation is 0 on all of a sample.

    A unit is a channel of a ReLU's output (dimension 1 of images, the last one of sequences), over all positions. Every
    call of a ReLU counts, as a module or as a function, numbered in the order of the forward pass. A unit that is dead
    on a small sample may be active on other images.

    Args:
        model: A network with ReLUs; it is used in evaluation mode and not changed.
        batches: (normalised images, labels) of the sample; labels are not used.
    Returns:
        Numbers of ``units`` and ``dead`` ones; ``fraction`` = dead / units; ``layers``, the fraction of each ReLU.
    Raises:
        ValueError: If there are no batches or no ReLU is called.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
        >>> _ = net[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]])), net[0].bias.data.zero_()
        >>> count_dead_units(net, [(torch.tensor([[2.0], [3.0]]), torch.zeros(2, dtype=torch.int64))])["fraction"]
        0.5
    """
    mode = _Fired()

    def count_calls() -> Iterable[tuple[Tensor, Tensor]]:
        for batch in batches:
            mode.call = 0
            yield batch

    with mode:
        predict(model, count_calls())
    if not mode.fired:
        raise InvalidInput(
            "The model calls no ReLU: dead units are units of rectifiers, others hardly ever are exactly 0."
        )
    dead = [int((~fired).sum()) for fired in mode.fired]
    units = [len(fired) for fired in mode.fired]
    return {
        "units": sum(units),
        "dead": sum(dead),
        "fraction": sum(dead) / sum(units),
        "layers": [quiet / count for quiet, count in zip(dead, units, strict=True)],
    }
