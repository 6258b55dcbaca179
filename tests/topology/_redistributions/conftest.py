"""Two layers whose means are known."""

from __future__ import annotations

import pytest


@pytest.fixture
def layers(layer):
    return [
        layer([1.0, -5.0, 0, 0, 0, 0, 0, 0], momentum=[6.0, -3.0, 99, 99, 99, 99, 99, 99], name="a"),  # means 3, 4.5
        layer([1.0, 1.0, -1.0, 1.0, 0, 0, 0, 0], momentum=[1.5] * 8, name="b"),  # means 1, 1.5
    ]
