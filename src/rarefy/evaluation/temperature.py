"""Temperature scaling: one number that makes a model as sure as it is right."""

from __future__ import annotations

import math

import torch

from rarefy.errors import InvalidInput
from rarefy.evaluation._predictions import Predictions

LOWEST, HIGHEST = 0.01, 100.0


def fit_temperature(predictions: Predictions) -> float:
    """The temperature that minimises the cross-entropy of ``softmax(logits / temperature)``.

    Fit it on the validation split and use it on the test split: fitted where it is judged, it flatters. The loss is
    convex in 1 / temperature; its derivative's root is found, so the result is deterministic.

    Args:
        predictions: Of the validation split.
    Returns:
        The temperature: above 1 for a model that is too sure. It stays in [0.01, 100]; the lower end comes out where
        every image is right (the surer the better), the upper end where logits say nothing. If all logits of every
        image are equal it is 1, for it does not matter.
    Raises:
        ValueError: If a logit is not finite.

    Example:
        >>> right, wrong = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
        >>> logits = torch.stack([right, right, right, wrong])  # three of four are right: softmax should say 3/4
        >>> temperature = fit_temperature(Predictions(logits, torch.zeros(4, dtype=torch.int64)))
        >>> round(temperature, 6) == round(2 / math.log(3), 6)
        True

    References:
        Guo et al., 2017, arXiv:1706.04599, section 4.2.
    """
    from scipy.optimize import brentq  # type: ignore[import-untyped, unused-ignore]

    if not predictions.logits.isfinite().all():
        raise InvalidInput("A temperature needs finite logits; some are nan or inf: the model has diverged.")
    logits = predictions.logits.double()
    logits = logits - logits.gather(1, predictions.labels[:, None])  # by how much each class beats the true one
    if not logits.any():
        return 1.0

    def slope(log_inverse: float) -> float:
        """Derivative of the loss with respect to 1 / temperature; it never falls."""
        return float(((math.exp(log_inverse) * logits).softmax(1) * logits).sum(1).mean())

    low, high = -math.log(HIGHEST), -math.log(LOWEST)
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) <= 0:
        return LOWEST
    return math.exp(-brentq(slope, low, high, xtol=1e-12))


def scaled(predictions: Predictions, temperature: float) -> Predictions:
    """Predictions with every logit divided by a temperature: other confidences, the same guesses.

    Args:
        predictions: What to scale; it is left as it is.
        temperature: Above 0, from ``fit_temperature`` on the validation split.
    Returns:
        The new predictions. Logits are float64, so that rounding makes no two of them equal.
    Raises:
        ValueError: If the temperature is not above 0, or not finite.

    Example:
        >>> scaled(Predictions(torch.tensor([[3.0, 1.0]]), torch.tensor([0])), 2.0).logits.tolist()
        [[1.5, 0.5]]
    """
    if not 0 < temperature < math.inf:
        raise InvalidInput(
            f"temperature must be above 0 and finite, got {temperature}.", name="temperature", value=temperature
        )
    return Predictions(predictions.logits.to(torch.float64) / temperature, predictions.labels)
