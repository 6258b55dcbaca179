"""Named sizes of a search."""

from __future__ import annotations

import dataclasses

from rarefy.search._densities import spaced_densities


@dataclasses.dataclass(frozen=True)
class Scale:
    """Default options of a search.

    Args:
        about: Description.
        epochs: Epochs of full runs; None: the config's.
        seeds: Number of seeds of full runs.
        floor: The smallest density.
        step: Ratio of neighbouring densities.

    Example:
        >>> SCALES["smoke"].build_densities()
        (0.5, 0.12, 0.05)
    """

    about: str
    epochs: int | None
    seeds: int
    floor: float
    step: float = 0.5**0.5

    def build_densities(self, floor: float | None = None) -> tuple[float, ...]:
        """Returns the candidate densities, down to another floor if one is given."""
        return spaced_densities(self.floor if floor is None else floor, self.step)


SCALES = {
    "smoke": Scale("to see that everything works; the answer means nothing", 2, 2, 0.05, 0.25),
    "short": Scale("coarse: few epochs, densities that halve", 6, 4, 0.03, 0.5),
    "paper": Scale("160 epochs, five seeds, all densities", 160, 5, 0.01),
}
