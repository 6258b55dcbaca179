"""Adversarial attacks: ``compute_robust_accuracy`` measures the accuracy of a model under an attack.

``eps`` and steps are in units of pixels in [0, 1], before normalisation, which is part of the attacked function.
"""

from rarefy.evaluation.attacks._registry import ATTACKS, Attack, Function, compute_robust_accuracy, make_pixel_function

__all__ = ["ATTACKS", "Attack", "Function", "compute_robust_accuracy", "make_pixel_function"]

ATTACKS.discover(__name__)
