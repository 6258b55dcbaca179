"""How many seeds a test would take."""

from __future__ import annotations

MOST_SEEDS = 100_000


def seeds_needed(
    difference: float,
    variances: tuple[float, float],
    margin: float,
    alpha: float,
    power: float,
    better_is_same: bool,
) -> int | None:
    """Fewest seeds a group with which a test at ``alpha`` decides with probability ``power``; None if over 100,000.

    What was seen, the difference and the variances, is taken for the truth; if the difference is inside the margin the
    decision is "yes", outside it is "no". The noncentral t distribution gives the power, as if the two one-sided tests
    of "yes" shared one t; that is close for a power that is of use. On the margin itself no number is enough.
    With ``better_is_same`` only the lower test is left.
    """
    if _power(MOST_SEEDS, difference, variances, margin, alpha, better_is_same) < power:
        return None
    low, high = 1, MOST_SEEDS  # low is not enough, high is
    while high - low > 1:
        middle = (low + high) // 2
        if _power(middle, difference, variances, margin, alpha, better_is_same) < power:
            low = middle
        else:
            high = middle
    return high


def _power(
    seeds: int,
    difference: float,
    variances: tuple[float, float],
    margin: float,
    alpha: float,
    better_is_same: bool,
) -> float:
    from scipy.stats import nct, t  # type: ignore[import-untyped, unused-ignore]

    error, freedom = welch(variances, (seeds, seeds))
    critical = t.ppf(1 - alpha, freedom)
    above, below = (difference - margin) / error, (difference + margin) / error
    if better_is_same:
        return float(nct.sf(critical, freedom, abs(below)))
    if abs(difference) > margin:
        return float(nct.sf(critical, freedom, max(above, -below)))
    return float(nct.cdf(-critical, freedom, above) - nct.cdf(critical, freedom, below))


def welch(variances: tuple[float, float], seeds: tuple[int, int]) -> tuple[float, float]:
    """Standard error of a difference of means, and its degrees of freedom (Welch and Satterthwaite)."""
    (a, b), (n, m) = variances, seeds
    square = a / n + b / m
    share = a / n / square  # of the first group; written so that tiny variances are not squared to 0
    return square**0.5, 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
