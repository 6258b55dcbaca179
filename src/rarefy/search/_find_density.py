"""The door: any training as a function, and how sparse it can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rarefy.errors import RarefyError
from rarefy.search._found import Found, Step
from rarefy.search._ladder import checked, ladder
from rarefy.search._search import SCOUTS, Point, search

TrainFn = Callable[[float, int, float], float]
_LARGEST = 0.2  # margin; what is larger is most likely meant in points


class SearchError(RarefyError, ValueError):
    """A search that cannot be carried out; the message says what to do."""


def find_density(
    train_fn: TrainFn,
    margin: float = 0.005,
    densities: Sequence[float] | None = None,
    seeds: Sequence[int] = (17, 18, 19),
    short: float = 0.25,
    *,
    notice: Callable[[Step], None] = lambda step: None,
) -> Found:
    """Finds the smallest density whose accuracy is within a margin of dense, with your own model, data and loop.

    1. Short trainings (``short`` of a full one, the first two seeds) halve the ladder of densities until one is left:
       one counts as near enough if its mean is below dense's by at most twice the margin plus two standard errors, the
       spread pooled over dense and what was near enough before. That only says where to look.
    2. Full trainings with all seeds, of dense and of that density, decide: it is within the margin if the one-sided
       Welch t test of non-inferiority at 5% says so, that is if the 90% interval of the difference of means lies above
       minus the margin. While it is, 1, 2, 4, ... rungs sparser are tried, else denser; then what is between is halved.

    It ends there, after at most a known number of trainings (`rarefy.search.budget`). Seeds are the same everywhere, so
    masks are nested and neighbours comparable. Nothing is corrected for the handful of densities that are tested.

    Args:
        train_fn: ``train_fn(density, seed, effort)`` trains a fresh model and returns its accuracy, a fraction in
            [0, 1]. Density 1.0 is dense. `effort`, in (0, 1], is the share of a full training: scale the epochs and the
            learning rate's schedule by it. All randomness has to come from the seed.
        margin: How much worse than dense does not matter: 0.005 is half a percentage point.
        densities: What to try, fractions below 1; default: `rarefy.search.ladder`, 12 steps from 0.5 to 0.01.
        seeds: Of full trainings, two or more; more can tell smaller differences.
        short: Effort of short trainings, in (0, 1].
        notice: Called with each comparison as it is made, to show how it goes: ``notice=print``.

    Returns:
        The density, the verdict, and all they rest on.

    Raises:
        SearchError: If an argument is out of range, or `train_fn` returns what is no accuracy. What it raises itself
            passes through, with a note of the density and seed.

    Example:
        >>> import random
        >>> def train(density, seed, effort):  # loses accuracy below 10%, and some to chance
        ...     chance = random.Random(f"{density} {seed} {effort}").gauss(0, 0.001)
        ...     return 0.95 * effort**0.1 - 0.3 * max(0, 0.1 - density) + chance
        >>> found = find_density(train, margin=0.01)
        >>> found.density, found.verdict, len(found.evidence)
        (0.088, 'yes', 25)
        >>> print(found.explain().splitlines()[0])
        Density 0.088 is within 1 point of dense.

    References:
        Welch, 1947, Biometrika 34; non-inferiority: Schuirmann, 1987, J. Pharmacokinetics and Biopharmaceutics 15.
    """
    check(margin, seeds, short)
    rungs = ladder() if densities is None else checked(densities)

    def measure(points: Sequence[Point]) -> list[float]:
        return [_accuracy(train_fn, point) for point in points]

    return search(measure, rungs, margin=margin, seeds=seeds, short=short, notice=notice)


def check(margin: float, seeds: Sequence[int], short: float) -> None:
    """Raises SearchError if one is out of range."""
    if not 0 < margin <= _LARGEST:
        hint = f" Half a percentage point is 0.005; for {margin:g} points write {margin / 100:g}." if margin > 0 else ""
        raise SearchError(f"The margin is a fraction above 0 and at most {_LARGEST}; got {margin!r}.{hint}")
    if len(seeds) < SCOUTS or len(set(seeds)) < len(seeds):
        raise SearchError(f"A verdict takes {SCOUTS} seeds at least, each once; got {list(seeds)}.")
    if not 0 < short <= 1:
        raise SearchError(f"short is the share of a full training, in (0, 1]; got {short!r}.")


def _accuracy(train_fn: TrainFn, point: Point) -> float:
    call = f"train_fn(density={point.density:g}, seed={point.seed}, effort={point.effort:g})"
    try:
        returned = train_fn(*point)
    except Exception as error:
        error.add_note(f"raised by {call}, which find_density called")
        raise
    try:
        accuracy = float(returned)
    except (TypeError, ValueError):
        raise SearchError(f"{call} returned {returned!r}; it has to return an accuracy, a number in [0, 1].") from None
    if not math.isfinite(accuracy):
        raise SearchError(f"{call} returned {accuracy}: the training went wrong there. An accuracy is in [0, 1].")
    if not 0 <= accuracy <= 1:
        percent = f" If that is percent, return {accuracy / 100:g}." if 1 < accuracy <= 100 else ""
        raise SearchError(f"{call} returned {accuracy:g}, but an accuracy is a fraction in [0, 1].{percent}")
    return accuracy
