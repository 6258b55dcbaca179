"""Room: worst cases within a small distance of an image. Door: ``robust_accuracy`` of a model under an attack.

``eps`` and steps are in units of pixels in [0, 1], before normalisation; normalising is part of the attacked function.
"""

from rarefy.evaluation.attacks._registry import ATTACKS, Attack, Function, attacked, robust_accuracy

__all__ = ["ATTACKS", "Attack", "Function", "attacked", "robust_accuracy"]

ATTACKS.discover(__name__)
