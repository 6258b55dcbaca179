"""Dense keeps all, and says so when asked for less."""

from __future__ import annotations

import pytest

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, allocate


def test_everything_is_kept() -> None:
    assert allocate(ALLOCATIONS.build("dense"), {"a": (3, 4), "b": (5,)}, 1.0) == {"a": 12, "b": 5}


def test_any_other_density_is_refused() -> None:
    with pytest.raises(InfeasibleDensity, match=r"keeps every weight, so its density is 1\.0; got 0\.5"):
        allocate(ALLOCATIONS.build("dense"), {"a": (3, 4)}, 0.5)
