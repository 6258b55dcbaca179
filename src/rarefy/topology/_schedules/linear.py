"""A straight line, from 1 to 0."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.topology._schedules._registry import SCHEDULES


@SCHEDULES.register("linear")
@dataclasses.dataclass(frozen=True)
class Linear:
    """``1 - progress``."""

    needs_end: ClassVar[bool] = True

    def __call__(self, progress: float) -> float:
        """Factor on the drop fraction."""
        return 1 - progress
