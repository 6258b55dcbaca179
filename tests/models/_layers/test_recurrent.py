from __future__ import annotations

from torch import nn

from rarefy.models import LAYERS, prunable


def test_every_matrix_and_no_bias() -> None:
    layer = nn.LSTM(3, 4, num_layers=2, proj_size=2, bidirectional=True)
    assert list(prunable(layer)) == [name for name, weight in layer.named_parameters() if weight.ndim == 2]
    assert list(prunable(nn.LSTMCell(3, 4))) == ["weight_ih", "weight_hh"]
    assert list(LAYERS.build("recurrent")(nn.Linear(2, 3))) == []
