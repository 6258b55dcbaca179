"""Options of `rarefy eval`."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

from rarefy.errors import InvalidInput
from rarefy.evaluation.attacks import ATTACKS
from rarefy.evaluation.ood import SCORES
from rarefy.installation import import_extra


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation. Accuracy and gradient flow are always computed.

    Args:
        ood: Sources of out-of-distribution images: names or paths, as `rarefy.evaluation.ood.load_ood` takes them.
        scores: Out-of-distribution scores such as ``knn:k=200``; empty: all whose libraries are installed.
        attacks: Attacks such as ``pgd:steps=50:restarts=5``.
        eps: Radii of the robust accuracy curve, for pixels in [0, 1]; 0 is always included.
        corruptions: Whether to test on corrupted images.
        official: Folder of the official CIFAR-10-C or CIFAR-100-C files; None: regenerate the corruptions.
        calibration: Whether to measure calibration, before and after temperature scaling.
        cost: Whether to count parameters, FLOPs and bytes and to measure latency and memory.
        hessian: Whether to compute the top eigenvalue of the Hessian.
        landscape: Whether to compute the loss along a random direction.
        ood_images: Most images of the test split and of each source; None: all.
        attack_images: Number of test images to attack, from the first on.
        curve_images: The same for the curve.
        corruption_images: Number of test images to corrupt, each with every corruption; None: all.
        seed: Root seed of noise, random starts and corruptions.

    Raises:
        MissingPackage: If a score or an attack that is named needs a package that is not installed.
        UnknownName: If a score or an attack is not registered; UnknownOption: if an option does not fit.
        ValueError: If a number of images is below 1 or an eps is not in (0, 1].

    Example:
        >>> EvaluationOptions(attacks=("pgd:steps=50",)).attack("pgd:steps=50").steps
        50
    """

    ood: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    eps: tuple[float, ...] = (0.5 / 255, 1 / 255, 2 / 255, 4 / 255, 8 / 255)
    corruptions: bool = False
    official: Path | None = None
    calibration: bool = False
    cost: bool = False
    hessian: bool = False
    landscape: bool = False
    ood_images: int | None = 4000
    attack_images: int = 256
    curve_images: int = 128
    corruption_images: int | None = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Builds every named method once, so that a typo fails before anything is computed."""
        for text in self.scores:
            _require_installed(SCORES.parse(text), "ood", f"The score {text}")
        for text in self.attacks:
            _require_installed(self.attack(text), "attacks", f"The attack {text}")
        counts = (self.ood_images, self.attack_images, self.curve_images, self.corruption_images)
        if any(count is not None and count < 1 for count in counts):
            raise InvalidInput(f"Numbers of images must be at least 1, got {counts}.")
        if self.attacks and not self.eps:
            raise InvalidInput(
                "An attack needs at least one radius of the curve: eps is empty. Write it like 1/255,8/255."
            )
        if not all(0 < eps <= 1 for eps in self.eps):
            raise InvalidInput(
                f"Every eps of the curve must be in (0, 1], in units of pixels in [0, 1]; got {self.eps}.",
                name="eps",
                value=self.eps,
            )

    def attack(self, text: str) -> Any:
        """Parses an attack."""
        return ATTACKS.parse(text)

    @property
    def chosen_scores(self) -> dict[str, Any]:
        """Scores by their text: those named, or all whose libraries are installed."""
        names = self.scores or tuple(name for name in SCORES.names() if _is_installed(SCORES.get(name)))
        return {name: SCORES.parse(name) for name in names}

    @property
    def left_out(self) -> list[str]:
        """Names of scores that are left out because their library is not installed; empty if scores were named."""
        return [] if self.scores else [name for name in SCORES.names() if not _is_installed(SCORES.get(name))]


def _require_installed(method: object, extra: str, what: str) -> None:
    """Imports what a method needs now: an evaluation may work for hours before it comes to the method."""
    module = getattr(method, "requires", None)
    if module is not None:
        import_extra(module, extra, needed_by=what)


def _is_installed(method: type) -> bool:
    module = getattr(method, "requires", None)
    return module is None or importlib.util.find_spec(module) is not None
