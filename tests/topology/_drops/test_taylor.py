"""The Taylor drop rule by hand."""

from __future__ import annotations

import torch

from rarefy.topology import DROPS


def test_taylor(layer, list_marked) -> None:
    kept = layer([1.0, -2.0, 0.5, 0.0], gradient=[0.3, 0.1, -2.0, 9.0])  # 0.3, 0.2, 1.0
    assert list_marked(DROPS.build("taylor")(kept, 1)) == [1]


def test_taylor_survives_products_that_vanish_in_half_precision(layer, list_marked) -> None:
    weight = torch.tensor([2.0**-14, 2.0**-13], dtype=torch.float16)
    kept = layer(weight, gradient=torch.tensor([2.0**-13, 2.0**-15], dtype=torch.float16))
    assert list_marked(DROPS.build("taylor")(kept, 1)) == [1]
