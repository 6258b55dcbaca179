from __future__ import annotations

from torch import nn

from rarefy.models import LAYERS, prunable


class Own(nn.Linear):
    """A user's subclass."""


def test_linear_bilinear_and_what_derives_from_them() -> None:
    kind = LAYERS.build("linear")
    assert [list(kind(m)) for m in (nn.Linear(2, 3), nn.Bilinear(2, 3, 4), Own(2, 3))] == [["weight"]] * 3
    assert list(kind(nn.LayerNorm(3))) == []
    assert list(prunable(Own(2, 3))) == ["weight"]
