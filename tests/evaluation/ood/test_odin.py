from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.data import Spec
from rarefy.evaluation.ood import SCORES, View
from rarefy.registry import UnknownOption


def test_agrees_with_pytorch_ood(net: nn.Module, spec: Spec, view: View) -> None:
    detector = pytest.importorskip("pytorch_ood.detector", reason="needs the extra 'ood'")
    normalised = spec.normalize(view.split.images.float() / 255)
    for eps, temperature in ((0.0014, 1000.0), (0.02, 2.0)):
        theirs = detector.ODIN(net.eval(), eps=eps, temperature=temperature, norm_std=list(spec.std)).predict(
            normalised
        )
        found = SCORES.build("odin", eps=eps, temperature=temperature)(view)
        torch.testing.assert_close(found, -theirs.double(), rtol=1e-5, atol=1e-6)


def test_without_step_and_temperature_it_is_max_softmax(view: View) -> None:
    found = SCORES.build("odin", eps=0, temperature=1)(view)
    torch.testing.assert_close(found, SCORES.build("max_softmax")(view), rtol=1e-5, atol=1e-6)


def test_the_step_raises_the_score(view: View) -> None:
    still, moved = (SCORES.build("odin", eps=eps, temperature=1)(view) for eps in (0, 1e-4))
    assert (moved > still).sum() >= 10


def test_options_are_checked() -> None:
    with pytest.raises(UnknownOption, match="at least 0"):
        SCORES.build("odin", eps=-1)
