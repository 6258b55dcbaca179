"""Candidate densities of a search."""

from __future__ import annotations

from collections.abc import Sequence

from rarefy.errors import InvalidInput

_DENSEST = 0.5
_MIN_RATIO = 1.2  # between the last two densities


def spaced_densities(floor: float = 0.01, step: float = 0.5**0.5) -> tuple[float, ...]:
    """Returns densities from 0.5 down to `floor` with a constant ratio, rounded to two digits.

    Args:
        floor: The last density.
        step: Ratio of neighbours; the default halves the weights in two steps.

    Raises:
        ValueError: If `floor` is not in (0, 0.5] or `step` not in (0, 1).

    Example:
        >>> spaced_densities(0.05)
        (0.5, 0.35, 0.25, 0.18, 0.13, 0.088, 0.063, 0.05)
    """
    if not 0 < floor <= _DENSEST or not 0 < step < 1:
        raise InvalidInput(
            f"The smallest density has to be above 0 and at most {_DENSEST}, the step between 0 and 1; "
            f"got {floor:g} and {step:g}."
        )
    densities, density = [], _DENSEST
    while density > _MIN_RATIO * floor:
        densities.append(float(f"{density:.2g}"))
        density *= step
    return (*densities, floor)


def sort_densities(densities: Sequence[float]) -> tuple[float, ...]:
    """Checks given densities and returns them without duplicates, densest first.

    Raises:
        ValueError: If there are none, or one is not in (0, 1).
    """
    invalid = [density for density in densities if not 0 < density < 1]
    if invalid or not densities:
        received = f"got {invalid[0]!r}" if invalid else "got none"
        raise InvalidInput(f"A density to try is a fraction between 0 and 1 (dense is always there); {received}.")
    return tuple(sorted({float(density) for density in densities}, reverse=True))
