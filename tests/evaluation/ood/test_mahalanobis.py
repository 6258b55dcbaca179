from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from rarefy.data import Spec, Split
from rarefy.errors import MissingPackage
from rarefy.evaluation.ood import SCORES, View


def test_by_hand_from_means_and_within_class_scatter(view: View, net: nn.Module, spec: Spec, reference: Split) -> None:
    pytest.importorskip("pytorch_ood", reason="needs the extra 'ood'")
    known, labels = View(net, spec, reference).features.double().numpy(), reference.labels.numpy()
    means = np.stack([known[labels == c].mean(0) for c in range(3)])
    centred = known - means[labels]
    inverse = np.linalg.inv(centred.T @ centred + 1e-6 * np.eye(known.shape[1]))
    away = view.features.double().numpy()[:, None] - means
    expected = -0.5 * np.einsum("ncd,de,nce->nc", away, inverse, away).min(1)
    np.testing.assert_allclose(SCORES.build("mahalanobis")(view).numpy(), expected, rtol=1e-3)


def test_says_what_is_missing(net: nn.Module, spec: Spec, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="fitted on training images: pass reference="):
        SCORES.build("mahalanobis")(View(net, spec, split))
    twos = View(net, spec, Split(split.images, torch.full((11,), 2)))
    with pytest.raises(ValueError, match=r"every class; \[0, 1\] have none"):
        SCORES.build("mahalanobis")(View(net, spec, split, reference=twos))
    monkeypatch.setitem(sys.modules, "pytorch_ood.detector", None)
    with pytest.raises(MissingPackage, match=r"pip install .*\[ood\]"):
        SCORES.build("mahalanobis")(View(net, spec, split, reference=View(net, spec, split)))
