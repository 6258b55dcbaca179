"""A constant drop fraction."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.topology._schedules._registry import SCHEDULES


@SCHEDULES.register("constant")
@dataclasses.dataclass(frozen=True)
class Constant:
    """Always 1."""

    needs_end: ClassVar[bool] = False

    def __call__(self, progress: float) -> float:
        """Factor on the drop fraction."""
        return 1.0
