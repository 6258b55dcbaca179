"""Which densities are tried."""

from __future__ import annotations

from collections.abc import Sequence

from rarefy.errors import InvalidInput

DENSEST = 0.5
_CLOSE = 1.2  # a step that is less than that from the floor is left to the floor


def ladder(floor: float = 0.01, step: float = 0.5**0.5) -> tuple[float, ...]:
    """Densities from a half down to a floor, each a fixed share of the one before, to two digits.

    Args:
        floor: The last of them.
        step: The share; the default is half of the weights in two steps.

    Raises:
        ValueError: If the floor is not between 0 and a half, or the step not between 0 and 1.

    Example:
        >>> ladder(0.05)
        (0.5, 0.35, 0.25, 0.18, 0.13, 0.088, 0.063, 0.05)
    """
    if not 0 < floor <= DENSEST or not 0 < step < 1:
        raise InvalidInput(
            f"The smallest density has to be above 0 and at most {DENSEST}, the step between 0 and 1; "
            f"got {floor:g} and {step:g}."
        )
    rungs, density = [], DENSEST
    while density > _CLOSE * floor:
        rungs.append(float(f"{density:.2g}"))
        density *= step
    return (*rungs, floor)


def checked(densities: Sequence[float]) -> tuple[float, ...]:
    """The densities a search was given, the densest first.

    Raises:
        ValueError: If there are none, or one is not between 0 and 1.
    """
    wrong = [density for density in densities if not 0 < density < 1]
    if wrong or not densities:
        what = f"got {wrong[0]!r}" if wrong else "got none"
        raise InvalidInput(f"A density to try is a fraction between 0 and 1 (dense is always there); {what}.")
    return tuple(sorted({float(density) for density in densities}, reverse=True))
