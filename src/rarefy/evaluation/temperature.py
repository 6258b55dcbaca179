"""Temperature scaling: calibrates a model by dividing its logits by one number."""

from __future__ import annotations

import math

import torch

from rarefy.errors import InvalidInput
from rarefy.evaluation._predictions import Predictions

LOWEST, HIGHEST = 0.01, 100.0


def fit_temperature(predictions: Predictions) -> float:
    """Finds the temperature that minimises the cross-entropy of ``softmax(logits / temperature)``.

    Fit it on the validation split and use it on the test split: fitted on the split it is measured on, it looks better
    than it is. The loss is convex in 1 / temperature; the root of its derivative is computed, deterministically.

    Args:
        predictions: Predictions of the validation split.
    Returns:
        The temperature, above 1 for an overconfident model, within [0.01, 100]: the lower end if every image is
        classified correctly, the upper end if logits carry no information, and 1 if all logits of every image are
        equal.
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
    logits = logits - logits.gather(1, predictions.labels[:, None])  # margin of each class over the true one
    if not logits.any():
        return 1.0

    def slope(log_inverse: float) -> float:
        """Derivative of the loss with respect to 1 / temperature, which never decreases."""
        return float(((math.exp(log_inverse) * logits).softmax(1) * logits).sum(1).mean())

    low, high = -math.log(HIGHEST), -math.log(LOWEST)
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) <= 0:
        return LOWEST
    return math.exp(-brentq(slope, low, high, xtol=1e-12))


def scale_logits(predictions: Predictions, temperature: float) -> Predictions:
    """Divides every logit by a temperature, which changes confidences but no predicted class.

    Args:
        predictions: The predictions to scale; not modified.
        temperature: Above 0, from ``fit_temperature`` on the validation split.
    Returns:
        New predictions, with float64 logits so that rounding does not make two of them equal.
    Raises:
        ValueError: If the temperature is not above 0, or not finite.

    Example:
        >>> scale_logits(Predictions(torch.tensor([[3.0, 1.0]]), torch.tensor([0])), 2.0).logits.tolist()
        [[1.5, 0.5]]
    """
    if not 0 < temperature < math.inf:
        raise InvalidInput(
            f"temperature must be above 0 and finite, got {temperature}.", name="temperature", value=temperature
        )
    return Predictions(predictions.logits.to(torch.float64) / temperature, predictions.labels)
