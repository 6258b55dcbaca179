from __future__ import annotations

from torch import nn

from rarefy.models import LAYERS, prunable


def test_tables_on_request_only() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.EmbeddingBag(6, 3))
    assert LAYERS.build("embedding").is_embedding
    assert list(prunable(model)) == []
    assert list(prunable(model, embeddings=True)) == ["0.weight", "1.weight"]
