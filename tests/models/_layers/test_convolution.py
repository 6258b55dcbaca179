from __future__ import annotations

from torch import nn

from rarefy.models import LAYERS, prunable


def test_every_convolution_and_no_other_layer() -> None:
    kind = LAYERS.build("convolution")
    layers = [getattr(nn, f"{name}{n}d")(2, 2, 3) for name in ("Conv", "ConvTranspose") for n in (1, 2, 3)]
    assert [list(kind(layer)) for layer in layers] == [["weight"]] * 6
    assert list(kind(nn.Linear(2, 3))) == list(kind(nn.BatchNorm2d(3))) == []
    assert list(prunable(layers[0])) == ["weight"]
