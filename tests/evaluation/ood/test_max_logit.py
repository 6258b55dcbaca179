from __future__ import annotations

import torch

from rarefy.evaluation import Predictions
from rarefy.evaluation.ood import SCORES


def test_by_hand() -> None:
    logits = torch.tensor([[2.0, -7.0, 1.0], [-3.0, -1.0, -2.0]])
    assert SCORES.build("max_logit")(Predictions(logits, torch.zeros(2, dtype=torch.int64))).tolist() == [2, -1]
