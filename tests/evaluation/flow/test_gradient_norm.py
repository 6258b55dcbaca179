from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.evaluation.flow import compute_gradient_norm

Batch = tuple[Tensor, Tensor]


def test_softmax_regression_by_hand() -> None:
    """The gradient of a row is (probability - truth) times the input, (+-1/2) * (3, 4); then one weight is pruned."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data.fill_(1.0)
    inputs, labels = torch.tensor([[3.0, 4.0]]), torch.tensor([0])
    assert compute_gradient_norm(layer, inputs, labels)["total"] == pytest.approx((2 * (2.5**2)) ** 0.5)
    masks = {"weight": torch.tensor([[True, False], [True, True]])}
    assert compute_gradient_norm(layer, inputs, labels, masks)["total"] == pytest.approx((2.5**2 + 1.5**2) ** 0.5)


@pytest.mark.parametrize("training", [False, True])
def test_agrees_with_backward(training: bool, net: nn.Module, masks: dict[str, Tensor], batch: Batch) -> None:
    net[7].p = 0.0  # dropout would draw
    found = compute_gradient_norm(net, *batch, masks, training=training)
    nn.functional.cross_entropy(net.train(training)(batch[0]), batch[1]).backward()
    expected = {name: float((net.get_parameter(name).grad * mask).norm()) for name, mask in masks.items()}
    assert found["layers"] == pytest.approx(expected, rel=1e-5)
    assert found["total"] == pytest.approx(sum(norm**2 for norm in expected.values()) ** 0.5, rel=1e-5)


def test_without_masks_what_is_not_zero_is_kept(net: nn.Module, masks: dict[str, Tensor], batch: Batch) -> None:
    assert compute_gradient_norm(net, *batch) == compute_gradient_norm(net, *batch, masks)


@pytest.mark.parametrize("training", [False, True])
def test_model_is_not_changed(training: bool, unchanged: nn.Module, batch: Batch) -> None:
    with torch.no_grad():
        assert float(str(compute_gradient_norm(unchanged, *batch, training=training)["total"])) > 0


def test_says_what_is_wrong(net: nn.Module, batch: Batch) -> None:
    with pytest.raises(ValueError, match="got 6 and 5"):
        compute_gradient_norm(net, batch[0], batch[1][:5])
    with pytest.raises(ValueError, match="at least one"):
        compute_gradient_norm(net, batch[0][:0], batch[1][:0])
    with pytest.raises(ValueError, match=r"no weight '0\.weight' of that shape"):
        compute_gradient_norm(net, *batch, {"0.weight": torch.ones(1, dtype=torch.bool)})
    with pytest.raises(ValueError, match="no prunable weight"):
        compute_gradient_norm(nn.Flatten(), *batch)
