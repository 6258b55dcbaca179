"""Which layers are sparse: candidates from the times of layers, the choice from the times of the whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from rarefy.engines._measure import Times

_CLOSE = 1.5


@dataclasses.dataclass(frozen=True)
class Choice:
    """The layers to make sparse (none where dense is as fast), and milliseconds of the whole, dense and sparse."""

    layers: tuple[str, ...]
    dense: float
    sparse: float


def choose(
    able: Sequence[str],
    times: Mapping[str, Times],
    whole: Callable[[Mapping[str, tuple[str, ...]]], Mapping[str, float]],
) -> Choice:
    """Chooses the fastest of: all dense, the layers that win by themselves, those and close ones, all that can be.

    A layer by itself is timed with what it costs to bring its inputs into the kernels' order of memory, which costs
    nothing between two sparse layers; only the whole knows.

    Args:
        able: The layers that can be sparse.
        times: Layer name to milliseconds.
        whole: Gives the milliseconds of each candidate, a name to its sparse layers.
    """
    slower = {name: found["sparse"] / found["dense"] for name, found in times.items()}
    candidates: dict[str, tuple[str, ...]] = {"dense": ()}
    for name, limit in (("winners", 1.0), ("close", _CLOSE), ("all", float("inf"))):
        layers = tuple(layer for layer in able if slower.get(layer, 1.0) <= limit)
        if layers not in candidates.values():
            candidates[name] = layers
    found = whole(candidates)
    best = min((name for name in candidates if name != "dense"), key=lambda name: found[name])
    layers = candidates[best] if found[best] < found["dense"] else ()
    return Choice(layers, found["dense"], found[best])
