from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from rarefy.data import Spec
from rarefy.errors import MissingPackage
from rarefy.evaluation.attacks import ATTACKS, compute_robust_accuracy


@pytest.mark.slow  # Square asks the net 5,000 times for an image that stands
def test_at_least_as_strong_as_pgd(net: nn.Module, spec: Spec, images: Tensor, labels: Tensor) -> None:
    pytest.importorskip("pyautoattack", reason="needs the extra 'attacks'")
    auto, pgd = (
        float(str(compute_robust_accuracy(net, spec, images[:8], labels[:8], ATTACKS.build(name, eps=0.05))["robust"]))
        for name in ("autoattack", "pgd")
    )
    assert auto <= pgd


def test_says_what_is_missing(
    net: nn.Module, spec: Spec, images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="at least 4 classes, the model has 3"):
        compute_robust_accuracy(
            nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), spec, images, labels, ATTACKS.build("autoattack")
        )
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(MissingPackage, match=r"pip install .*\[attacks\]"):
        compute_robust_accuracy(net, spec, images, labels, ATTACKS.build("autoattack"))
    assert torch.is_grad_enabled()
