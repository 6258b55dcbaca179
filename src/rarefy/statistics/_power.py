"""Number of seeds that a test of equivalence needs."""

from __future__ import annotations

MAX_SEEDS = 100_000


def count_seeds_needed(
    difference: float,
    variances: tuple[float, float],
    margin: float,
    alpha: float,
    power: float,
    better_is_same: bool,
) -> int | None:
    """Counts the seeds per group with which a test at ``alpha`` decides with probability ``power``.

    Assumes that the observed difference and variances are true; a difference inside the margin is decided "yes", one
    outside it "no". The power comes from the noncentral t distribution, as if the two one-sided tests of "yes" shared
    one t, which is accurate where the power is high. With ``better_is_same`` only the lower test is used.

    Returns:
        The smallest number that is enough; None if that is over 100,000, as for a difference equal to the margin.
    """
    if _compute_power(MAX_SEEDS, difference, variances, margin, alpha, better_is_same) < power:
        return None
    low, high = 1, MAX_SEEDS  # low is not enough, high is
    while high - low > 1:
        middle = (low + high) // 2
        if _compute_power(middle, difference, variances, margin, alpha, better_is_same) < power:
            low = middle
        else:
            high = middle
    return high


def _compute_power(
    seeds: int,
    difference: float,
    variances: tuple[float, float],
    margin: float,
    alpha: float,
    better_is_same: bool,
) -> float:
    from scipy.stats import nct, t  # type: ignore[import-untyped, unused-ignore]

    error, freedom = welch_error(variances, (seeds, seeds))
    critical = t.ppf(1 - alpha, freedom)
    above, below = (difference - margin) / error, (difference + margin) / error
    if better_is_same:
        return float(nct.sf(critical, freedom, abs(below)))
    if abs(difference) > margin:
        return float(nct.sf(critical, freedom, max(above, -below)))
    return float(nct.cdf(-critical, freedom, above) - nct.cdf(critical, freedom, below))


def welch_error(variances: tuple[float, float], seeds: tuple[int, int]) -> tuple[float, float]:
    """Standard error of a difference of means and its degrees of freedom (Welch and Satterthwaite)."""
    (a, b), (n, m) = variances, seeds
    square = a / n + b / m
    share = a / n / square  # of the first group; written so that tiny variances are not squared to 0
    return square**0.5, 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
