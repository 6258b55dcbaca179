"""Selects the layers to make sparse: candidates by the times of layers, the best of them by the time of the model."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from rarefy.engines._measure import Times
from rarefy.engines._plan import LAYOUTS

_CLOSE = 1.5


@dataclasses.dataclass(frozen=True)
class LayerSelection:
    """The layers to make sparse (none where dense is as fast), and the times of the whole model.

    Args:
        layers: Names of the layers.
        milliseconds: Times of the whole model, the best of the rounds: ``dense``, ``sparse`` (the fastest candidate)
            and, where measured, dense in the other memory layout, by its name.
        spread: Interquartile range of the ratio of sparse to dense over the rounds, divided by its median.
    """

    layers: tuple[str, ...]
    milliseconds: dict[str, float]
    spread: float


def select_layers(
    supported: Sequence[str],
    times: Mapping[str, Times],
    time_candidates: Callable[[Mapping[str, tuple[str, ...]]], Mapping[str, Sequence[float]]],
) -> LayerSelection:
    """Selects the fastest of: no sparse layers, the layers that are faster alone, those and close ones, all supported.

    The time of a layer alone includes the conversion of its inputs to the kernels' memory layout, which costs nothing
    between two sparse layers. So the whole model decides, and where there is no time for all candidates, those with
    more sparse layers than are faster alone come first.

    Args:
        supported: The layers that can be sparse.
        times: Layer name to milliseconds.
        time_candidates: Times the model with each candidate, a name to its sparse layers: milliseconds, one per round.
    """
    ratios = {name: milliseconds["sparse"] / milliseconds["dense"] for name, milliseconds in times.items()}
    candidates: dict[str, tuple[str, ...]] = {"dense": ()}
    for name, limit in (("close", _CLOSE), ("all", float("inf")), ("winners", 1.0)):
        layers = tuple(layer for layer in supported if ratios.get(layer, 1.0) <= limit)
        if layers not in candidates.values():
            candidates[name] = layers
    rounds = time_candidates(candidates)
    times_of = {name: min(milliseconds) for name, milliseconds in rounds.items()}  # other work only adds to a time
    timed = [name for name in candidates if name != "dense" and name in times_of]  # those for which there was time
    best = min(timed, key=lambda name: times_of[name])
    layers = candidates[best] if times_of[best] < times_of["dense"] else ()
    other_layout = {name: time for name, time in times_of.items() if name in LAYOUTS}
    milliseconds = {"dense": times_of["dense"], "sparse": times_of[best], **other_layout}
    return LayerSelection(layers, milliseconds, _compute_spread(rounds[best], rounds["dense"]))


def _compute_spread(sparse: Sequence[float], dense: Sequence[float]) -> float:
    """Computes the interquartile range of the rounds' ratios, divided by their median."""
    ratios = [a / b for a, b in zip(sparse, dense, strict=False)]  # slow candidates get fewer rounds
    if len(ratios) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return (high - low) / middle
