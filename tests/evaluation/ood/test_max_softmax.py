from __future__ import annotations

import pytest
import torch

from rarefy.evaluation import Predictions
from rarefy.evaluation.ood import SCORES


def test_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    found = SCORES.build("max_softmax")(Predictions(logits, torch.zeros(2, dtype=torch.int64)))
    assert found.tolist() == pytest.approx([1 / (1 + 2.718281828459045**-2), 0.5])


def test_sure_images_are_told_apart_where_float32_would_not() -> None:
    logits = torch.tensor([[25.0, 0.0], [30.0, 0.0]])
    sure, surer = SCORES.build("max_softmax")(Predictions(logits, torch.zeros(2, dtype=torch.int64)))
    assert sure < surer < 1
