"""Which layers are sparse: candidates from the times of layers, the choice from the times of the whole."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from rarefy.engines._measure import Times
from rarefy.engines._plan import CHANNELS_LAST

_CLOSE = 1.5


@dataclasses.dataclass(frozen=True)
class Choice:
    """The layers to make sparse (none where dense is as fast), and what was measured of the whole.

    Args:
        layers: Names of the layers.
        milliseconds: Of the whole: ``dense``, ``sparse`` (the fastest candidate) and, where measured, dense in the
            order of memory ``channels_last``.
        spread: Of the ratio of sparse to dense over the rounds: the distance of its quartiles by its median.
    """

    layers: tuple[str, ...]
    milliseconds: dict[str, float]
    spread: float


def choose(
    able: Sequence[str],
    times: Mapping[str, Times],
    whole: Callable[[Mapping[str, tuple[str, ...]]], Mapping[str, Sequence[float]]],
) -> Choice:
    """Chooses the fastest of: all dense, the layers that win by themselves, those and close ones, all that can be.

    A layer by itself is timed with what it costs to bring its inputs into the kernels' order of memory, which costs
    nothing between two sparse layers; only the whole knows.

    Args:
        able: The layers that can be sparse.
        times: Layer name to milliseconds.
        whole: Times each candidate, a name to its sparse layers: milliseconds, one a round.
    """
    slower = {name: found["sparse"] / found["dense"] for name, found in times.items()}
    candidates: dict[str, tuple[str, ...]] = {"dense": ()}
    for name, limit in (("winners", 1.0), ("close", _CLOSE), ("all", float("inf"))):
        layers = tuple(layer for layer in able if slower.get(layer, 1.0) <= limit)
        if layers not in candidates.values():
            candidates[name] = layers
    rounds = whole(candidates)
    found = {name: statistics.median(times) for name, times in rounds.items()}
    best = min((name for name in candidates if name != "dense"), key=lambda name: found[name])
    layers = candidates[best] if found[best] < found["dense"] else ()
    other = {CHANNELS_LAST: found[CHANNELS_LAST]} if CHANNELS_LAST in found else {}
    of_whole = {"dense": found["dense"], "sparse": found[best], **other}
    return Choice(layers, of_whole, _spread(rounds[best], rounds["dense"]))


def _spread(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How far apart the quartiles of the rounds' ratios are, by their median."""
    ratios = [ours / theirs for ours, theirs in zip(ours, theirs, strict=False)]  # the slow get fewer rounds
    if len(ratios) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return (high - low) / middle
