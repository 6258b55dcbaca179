from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood import SCORES, View


@pytest.mark.parametrize("k", [1, 7])
def test_by_hand(k: int, view: View, net: nn.Module, spec: Spec, reference: Split) -> None:
    pytest.importorskip("pytorch_ood", reason="needs the extra 'ood'")
    ours, known = (v.features / v.features.norm(dim=1, keepdim=True) for v in (view, View(net, spec, reference)))
    expected = -torch.cdist(ours.double(), known.double()).sort(1).values[:, k - 1]
    torch.testing.assert_close(SCORES.build("knn", k=k)(view), expected, rtol=1e-4, atol=1e-5)


def test_needs_k_images(view: View) -> None:
    with pytest.raises(ValueError, match="k=61 needs at least as many reference images; got 60"):
        SCORES.build("knn", k=61)(view)
    with pytest.raises(ValueError, match="at least 1"):
        SCORES.build("knn", k=0)
