"""Half a cosine, from 1 to 0."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from rarefy.topology._schedules._registry import SCHEDULES


@SCHEDULES.register("cosine")
@dataclasses.dataclass(frozen=True)
class Cosine:
    """``(1 + cos(pi * progress)) / 2``.

    Example:
        >>> round(Cosine()(0.5), 6)
        0.5

    References:
        Evci et al., 2020, arXiv:1911.11134, section 3.
    """

    needs_end: ClassVar[bool] = True

    def __call__(self, progress: float) -> float:
        """Factor on the drop fraction."""
        return (1 + math.cos(math.pi * progress)) / 2
