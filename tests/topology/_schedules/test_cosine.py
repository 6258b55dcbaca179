"""The cosine schedule by hand."""

from __future__ import annotations

import pytest

from rarefy.topology import SCHEDULES


def test_factor_by_hand() -> None:
    factors = [SCHEDULES.build("cosine")(progress) for progress in (0.0, 1 / 3, 0.5, 2 / 3, 1.0)]
    assert factors == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0], abs=1e-12)
