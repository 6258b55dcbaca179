from __future__ import annotations

import itertools

import networkx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rarefy import models
from rarefy.evaluation.flow import compute_effective_density
from rarefy.models import prunable


def on_a_path(masks: list[Tensor]) -> list[Tensor]:
    """The same masks with only the weights on a path, by searching the graph of units."""
    graph = networkx.DiGraph([("in", (0, i)) for i in range(masks[0].shape[1])])
    for layer, mask in enumerate(masks):
        graph.add_edges_from(((layer, int(i)), (layer + 1, int(o))) for o, i in mask.nonzero())
    graph.add_edges_from(((len(masks), o), "out") for o in range(masks[-1].shape[0]))
    graph.add_nodes_from(["in", "out"])
    live = networkx.descendants(graph, "in") & networkx.ancestors(graph, "out")
    found = []
    for layer, mask in enumerate(masks):
        rows = itertools.product(range(mask.shape[0]), range(mask.shape[1]))
        ends = [(layer, i) in live and (layer + 1, o) in live for o, i in rows]
        found.append(mask & torch.tensor(ends).view(mask.shape))
    return found


@given(st.integers(0, 10**6), st.lists(st.integers(1, 5), min_size=3, max_size=5), st.floats(0.1, 0.9))
@settings(max_examples=40)
def test_agrees_with_a_search_of_the_graph(seed: int, widths: list[int], density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    pairs = list(itertools.pairwise(widths))
    net = nn.Sequential(*[part for i, o in pairs for part in (nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU())])
    masks = [torch.rand(o, i, generator=generator) < density for i, o in pairs]
    found = compute_effective_density(net, (widths[0],), {f"{3 * n}.weight": mask for n, mask in enumerate(masks)})
    expected = [int(mask.sum()) for mask in on_a_path(masks)]
    assert list(found["layers"].values()) == expected  # type: ignore[attr-defined]
    assert found["effective"] == sum(expected) and found["kept"] == sum(int(mask.sum()) for mask in masks)
    assert found["total"] == sum(mask.numel() for mask in masks)
    assert found["effective_density"] == found["effective"] / found["total"]  # type: ignore[operator]


def test_a_residual_connection_keeps_a_path_alive() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(nn.functional.relu(x + self.second(nn.functional.relu(self.first(x)))))

    on, off = torch.tensor([[True]]), torch.tensor([[False]])
    found = compute_effective_density(Block(), (1,), {"first.weight": on, "second.weight": off, "last.weight": on})
    assert found["layers"] == {"first.weight": 0, "second.weight": 0, "last.weight": 1}
    found = compute_effective_density(Block(), (1,), {"first.weight": off, "second.weight": on, "last.weight": on})
    assert found["layers"] == {"first.weight": 0, "second.weight": 0, "last.weight": 1}


def test_what_touches_only_padding_is_not_effective() -> None:
    """Of a 3 x 3 kernel over one padded pixel only the middle ever meets an input."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2, 1))
    found = compute_effective_density(net, (1, 1, 1))
    assert found["layers"] == {"0.weight": 2, "2.weight": 2}


def test_maximum_pooling_hides_no_path() -> None:
    """Every tap of the kernel meets an input at one of four pixels; a maximum would pick the first one."""
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 1))
    assert compute_effective_density(net, (1, 2, 2))["layers"] == {"0.weight": 9, "4.weight": 1}


@pytest.mark.parametrize("name", ["cifar_resnet_20_4", "cifar_resnet_110_2"])
def test_a_dense_resnet_is_all_effective(name: str) -> None:
    net = models.build(models.parse(name), generator=torch.Generator().manual_seed(0))
    found = compute_effective_density(net, (3, 32, 32))
    assert found["effective"] == found["kept"] == sum(weight.numel() for weight in prunable(net).values())


def test_no_network_is_too_deep() -> None:
    """The paths of 700 layers of 4 units are 4 ** 700, more than a float64 can hold."""
    found = compute_effective_density(nn.Sequential(*[nn.Linear(4, 4) for _ in range(700)]), (4,))
    assert found["effective"] == found["total"] == 700 * 16


def test_model_is_not_changed(unchanged: nn.Module) -> None:
    with torch.no_grad():
        compute_effective_density(unchanged, (2, 4, 4))
