"""Confidence interval of a proportion."""

from __future__ import annotations

import statistics

from rarefy.errors import InvalidInput


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> list[float]:
    """Computes Wilson's score interval of a proportion, without continuity correction.

    The interval covers the variation due to the choice of test images, not the variation between seeds.

    Args:
        right: Successes.
        total: Trials, at least 1.
        confidence: Confidence level, between 0 and 1.
    Returns:
        [low, high], within [0, 1]; low is exactly 0 without successes, high exactly 1 without failures.
    Raises:
        ValueError: If there are no trials, more successes than trials, or the confidence is out of range.

    Example:
        >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
        [0.4902, 0.9433]

    References:
        Wilson, 1927, Journal of the American Statistical Association 22(158).
    """
    if not 0 <= right <= total or total < 1:
        raise InvalidInput(f"An interval needs 0 <= right <= total and a total of at least 1, got {right} of {total}.")
    if not 0 < confidence < 1:
        raise InvalidInput(
            f"confidence must be between 0 and 1, got {confidence}; 0.95 is usual.", name="confidence", value=confidence
        )
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / total
    centre = share + z**2 / (2 * total)
    half = z * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    scale = 1 + z**2 / total
    low = (centre - half) / scale if right > 0 else 0.0
    high = (centre + half) / scale if right < total else 1.0
    return [max(low, 0.0), min(high, 1.0)]
