"""Single weights, against the program of the specification; more in test_draw.py."""

from __future__ import annotations

import math
from types import SimpleNamespace

from rarefy.masks import draw_masks


def test_the_rule_is_the_documented_one(reference: SimpleNamespace) -> None:
    for shape, kept in (((4, 3, 3, 3), 31), ((5, 7), 11), ((9,), 4)):
        mask = draw_masks({"a.weight": kept}, {"a.weight": shape}, -5, pattern="unstructured")["a.weight"]
        assert mask.flatten().tolist() == reference.mask(-5, "a.weight", math.prod(shape), kept)
