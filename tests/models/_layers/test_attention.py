from __future__ import annotations

from torch import nn

from rarefy.models import LAYERS, prunable


def test_the_projections_that_a_module_has() -> None:
    assert list(prunable(nn.MultiheadAttention(4, 2))) == ["in_proj_weight", "out_proj.weight"]
    apart = prunable(nn.MultiheadAttention(4, 2, kdim=3, vdim=2))
    assert list(apart) == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    assert list(LAYERS.build("attention")(nn.Linear(2, 3))) == []
