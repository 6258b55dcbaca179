from __future__ import annotations

import math

import pytest
import torch

from rarefy.evaluation import Predictions
from rarefy.evaluation.ood import SCORES
from rarefy.registry import UnknownOption


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_by_hand(temperature: float) -> None:
    found = SCORES.build("energy", temperature=temperature)(Predictions(torch.tensor([[3.0, 1.0]]), torch.tensor([0])))
    assert found.item() == pytest.approx(temperature * math.log(math.exp(3 / temperature) + math.exp(1 / temperature)))


def test_agrees_with_pytorch_ood() -> None:
    detector = pytest.importorskip("pytorch_ood.detector", reason="needs the extra 'ood'")
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    found = SCORES.build("energy")(Predictions(logits, torch.zeros(6, dtype=torch.int64)))
    theirs = detector.EnergyBased(lambda x: x).predict(logits)
    torch.testing.assert_close(found, -theirs.double(), rtol=1e-5, atol=1e-6)


def test_temperature_is_above_zero() -> None:
    with pytest.raises(UnknownOption, match="above 0"):
        SCORES.build("energy", temperature=0)
