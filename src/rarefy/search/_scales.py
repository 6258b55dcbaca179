"""How much a search may cost, by name."""

from __future__ import annotations

import dataclasses

from rarefy.search._ladder import ladder


@dataclasses.dataclass(frozen=True)
class Scale:
    """Defaults of a search of a size.

    Args:
        about: What it is good for.
        epochs: Of full runs; None: those of the config.
        seeds: How many, of full runs.
        floor: The smallest density tried.
        step: From one density to the next.

    Example:
        >>> SCALES["smoke"].densities()
        (0.5, 0.12, 0.05)
    """

    about: str
    epochs: int | None
    seeds: int
    floor: float
    step: float = 0.5**0.5

    def densities(self, floor: float | None = None) -> tuple[float, ...]:
        """The ladder, down to another floor if one is given."""
        return ladder(self.floor if floor is None else floor, self.step)


SCALES = {
    "smoke": Scale("to see that everything works; the answer means nothing", 2, 2, 0.05, 0.25),
    "short": Scale("coarse: few epochs, a ladder of halves", 6, 4, 0.03, 0.5),
    "paper": Scale("160 epochs, five seeds, the whole ladder", 160, 5, 0.01),
}
