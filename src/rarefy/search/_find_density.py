"""Finds the smallest sufficient density for a training given as a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rarefy.errors import RarefyError
from rarefy.search._densities import sort_densities, spaced_densities
from rarefy.search._result import SearchResult, SearchStep
from rarefy.search._search import SHORT_SEEDS, TrialSpec, search

TrainFn = Callable[[float, int, float], float]
_MAX_MARGIN = 0.2  # a larger value was most likely meant in percentage points


class SearchError(RarefyError, ValueError):
    """A search that cannot be run; the message says what to do."""


def find_density(
    train_fn: TrainFn,
    margin: float = 0.005,
    densities: Sequence[float] | None = None,
    seeds: Sequence[int] = (17, 18, 19),
    short: float = 0.25,
    *,
    notice: Callable[[SearchStep], None] = lambda step: None,
) -> SearchResult:
    """Finds the smallest density whose accuracy is within a margin of dense, with your own model, data and loop.

    1. Short trainings (``short`` of a full one, the first two seeds) bisect the list of densities: a density counts as
       near enough if its mean is below dense's by at most twice the margin plus two standard errors, the variance
       pooled over dense and the densities that were near enough before. This only chooses where to start.
    2. Full trainings with all seeds, of dense and of that density, decide: a density is within the margin if the
       one-sided Welch t test of non-inferiority at 5% says so, that is if the 90% interval of the difference of means
       lies above minus the margin. An exponential search goes 1, 2, 4, ... densities sparser (or denser, if the first
       one fails) until the answer changes, and bisects the rest.

    The number of trainings is bounded (`rarefy.search.compute_budget`). All densities use the same seeds, so that masks
    are nested and neighbours comparable. There is no correction for testing several densities.

    Args:
        train_fn: ``train_fn(density, seed, effort)`` trains a fresh model and returns its accuracy, a fraction in
            [0, 1]. Density 1.0 is dense. `effort`, in (0, 1], is the fraction of a full training: scale the epochs and
            the learning-rate schedule by it. All randomness has to come from the seed.
        margin: Largest acceptable loss of accuracy: 0.005 is half a percentage point.
        densities: Densities to try, fractions below 1; default: `rarefy.search.spaced_densities`, 12 values from 0.5
            to 0.01.
        seeds: Seeds of full trainings, two or more; more seeds detect smaller differences.
        short: Effort of short trainings, in (0, 1].
        notice: Called with each comparison as it is made, for example ``print``.

    Returns:
        The density, the verdict and the evidence.

    Raises:
        SearchError: If an argument is out of range, or `train_fn` does not return an accuracy. Errors of `train_fn`
            itself are raised with a note of the density and seed.

    Example:
        >>> import random
        >>> def train(density, seed, effort):  # loses accuracy below 10%, plus noise
        ...     noise = random.Random(f"{density} {seed} {effort}").gauss(0, 0.001)
        ...     return 0.95 * effort**0.1 - 0.3 * max(0, 0.1 - density) + noise
        >>> result = find_density(train, margin=0.01)
        >>> result.density, result.verdict, len(result.evidence)
        (0.088, 'yes', 25)
        >>> print(result.explain().splitlines()[0])
        Density 0.088 is within 1 point of dense.

    References:
        Welch, 1947, Biometrika 34; non-inferiority: Schuirmann, 1987, J. Pharmacokinetics and Biopharmaceutics 15.
    """
    check_options(margin, seeds, short)
    candidates = spaced_densities() if densities is None else sort_densities(densities)

    def measure(specs: Sequence[TrialSpec]) -> list[float]:
        return [_train_and_check(train_fn, spec) for spec in specs]

    return search(measure, candidates, margin=margin, seeds=seeds, short=short, notice=notice)


def check_options(margin: float, seeds: Sequence[int], short: float) -> None:
    """Raises SearchError if an option is out of range."""
    if not 0 < margin <= _MAX_MARGIN:
        hint = f" Half a percentage point is 0.005; for {margin:g} points write {margin / 100:g}." if margin > 0 else ""
        raise SearchError(f"The margin is a fraction above 0 and at most {_MAX_MARGIN}; got {margin!r}.{hint}")
    if len(seeds) < SHORT_SEEDS or len(set(seeds)) < len(seeds):
        raise SearchError(f"A verdict needs at least {SHORT_SEEDS} different seeds; got {list(seeds)}.")
    if not 0 < short <= 1:
        raise SearchError(f"short is a fraction of a full training, in (0, 1]; got {short!r}.")


def _train_and_check(train_fn: TrainFn, spec: TrialSpec) -> float:
    call = f"train_fn(density={spec.density:g}, seed={spec.seed}, effort={spec.effort:g})"
    try:
        returned = train_fn(*spec)
    except Exception as error:
        error.add_note(f"raised by {call}, which find_density called")
        raise
    try:
        accuracy = float(returned)
    except (TypeError, ValueError):
        raise SearchError(f"{call} returned {returned!r}; it has to return an accuracy, a number in [0, 1].") from None
    if not math.isfinite(accuracy):
        raise SearchError(f"{call} returned {accuracy}: that training diverged. An accuracy is in [0, 1].")
    if not 0 <= accuracy <= 1:
        percent = f" If that is percent, return {accuracy / 100:g}." if 1 < accuracy <= 100 else ""
        raise SearchError(f"{call} returned {accuracy:g}, but an accuracy is a fraction in [0, 1].{percent}")
    return accuracy
