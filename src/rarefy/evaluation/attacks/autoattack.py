"""AutoAttack: an ensemble of four attacks without a step size to choose."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.evaluation.attacks._gradient import check_eps
from rarefy.evaluation.attacks._registry import ATTACKS, Function
from rarefy.installation import import_extra

FEWEST_CLASSES = 4  # the targeted loss compares the true logit with the third and fourth largest


@ATTACKS.register("autoattack")
@dataclasses.dataclass(frozen=True)
class AutoAttack:
    """APGD on the cross-entropy, targeted APGD, targeted FAB and Square, each on the images robust so far.

    Computed by ``pyautoattack`` (extra ``attacks``). With fewer than 10 classes all wrong classes are targets.

    Args:
        eps: Radius of the ball in every pixel, for pixels in [0, 1] before normalisation.
        version: ``"standard"``, the four above; ``"plus"`` adds untargeted runs and restarts; ``"rand"`` is for
            stochastic models.
    Raises:
        ValueError: If eps is out of range.

    Example:
        >>> ATTACKS.build("autoattack", eps=0.01)
        AutoAttack(eps=0.01, version='standard')

    References:
        Croce and Hein, 2020, arXiv:2003.01690.
    """

    costly: ClassVar[bool] = True
    requires: ClassVar[str] = "pyautoattack"

    eps: float = 8 / 255
    version: Literal["standard", "plus", "rand"] = "standard"

    def __post_init__(self) -> None:
        """Checks eps."""
        check_eps(self.eps)

    def __call__(self, function: Function, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Computes the attacked pixels; ``generator`` gives the seed. Raises ValueError for fewer than 4 classes."""
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.no_grad():
            classes = function(pixels[:1]).shape[1]
        if classes < FEWEST_CLASSES:
            raise InvalidInput(
                f"AutoAttack needs at least {FEWEST_CLASSES} classes, the model has {classes}; use 'pgd'."
            )
        attack = _import_autoattack()(function, eps=self.eps, version=self.version, seed=seed, device=pixels.device)
        for part in (attack.apgd_targeted, attack.fab):
            part.n_target_classes = min(part.n_target_classes, classes - 1)
        trace = sys.gettrace()
        try:
            with torch.random.fork_rng():  # the library seeds the global generator, and ends a debugger's trace
                moved: Tensor = attack.run_standard_evaluation(pixels, labels, batch_size=len(pixels))[0]
        finally:
            sys.settrace(trace)
        return moved


def _import_autoattack() -> Any:
    return import_extra("pyautoattack", "attacks", needed_by="AutoAttack").AutoAttack
