from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy import models
from rarefy.evaluation.flow import count_dead_units


def labelled(*inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in inputs]


def test_by_hand_and_over_batches() -> None:
    """Units fire above 1, below -1, never, always: which are dead depends on the sample."""
    net = nn.Sequential(nn.Linear(1, 4), nn.ReLU(inplace=True))
    net[0].weight.data = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    net[0].bias.data = torch.tensor([-1.0, -1.0, -1.0, 1.0])
    small, right, left = torch.tensor([[0.5]]), torch.tensor([[0.0], [2.0]]), torch.tensor([[-2.0]])
    assert count_dead_units(net, labelled(small)) == {"units": 4, "dead": 3, "fraction": 0.75, "layers": [0.75]}
    assert count_dead_units(net, labelled(small, right))["dead"] == 2
    assert count_dead_units(net, labelled(small, right, left))["dead"] == 1


def test_channels_are_units_and_functions_count() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            hidden = nn.functional.relu(self.conv(x))
            return torch.relu(hidden - 5).mean((2, 3))

    net = Net()
    net.conv.weight.data = torch.tensor([1.0, 9.0, -1.0]).view(3, 1, 1, 1)
    net.conv.bias.data.zero_()
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 1, 1] = 1
    assert count_dead_units(net, labelled(image))["layers"] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]


def test_features_of_sequences_are_units() -> None:
    found = count_dead_units(nn.ReLU(), labelled(torch.tensor([[1.0, -1.0, -1.0]]))) | {}
    assert found["units"] == 3
    sequence = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.ReLU(), nn.Flatten())
    assert count_dead_units(sequence, labelled(torch.tensor([[1.0, -1, -1, -1, 1, -1]])))["dead"] == 1


def test_every_rectifier_of_a_resnet_is_seen() -> None:
    net = models.build(models.parse("cifar_resnet_20_4"), generator=torch.Generator().manual_seed(0))
    found = count_dead_units(net, labelled(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))))
    assert len(found["layers"]) == 19  # type: ignore[arg-type]  # one after each of the 19 convolutions of the main path
    assert found["units"] == 4 * 7 + 8 * 6 + 16 * 6


def test_model_is_not_changed(unchanged: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    assert len(count_dead_units(unchanged, [batch])["layers"]) == 2  # type: ignore[arg-type]


def test_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="calls no ReLU"):
        count_dead_units(nn.Flatten(), labelled(torch.zeros(1, 2)))
    with pytest.raises(ValueError, match="nothing to score"):
        count_dead_units(nn.ReLU(), [])
