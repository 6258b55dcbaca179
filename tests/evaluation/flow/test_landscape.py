from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rarefy.evaluation.flow import compute_landscape
from rarefy.evaluation.flow.landscape import _draw_direction

Batch = tuple[Tensor, Tensor]


def test_the_middle_is_the_model_itself(masks: dict[str, Tensor], unchanged: nn.Module, batch: Batch) -> None:
    expected = nn.functional.cross_entropy(unchanged.eval()(batch[0]), batch[1]).item()
    unchanged.train()
    line = compute_landscape(unchanged, *batch, masks, points=5, radius=0.5)
    plane = compute_landscape(unchanged, *batch, masks, points=5, radius=0.5, dimensions=2)
    assert line["at"] == plane["at"] == [-0.5, -0.25, 0, 0.25, 0.5]
    assert line["loss"][2] == pytest.approx(expected, rel=1e-5)
    assert len(plane["loss"]) == 25
    assert plane["loss"][2::5] == pytest.approx(line["loss"])  # the first direction changes row by row
    assert len(set(line["loss"])) == 5


def test_the_seed_decides(net: nn.Module, batch: Batch) -> None:
    assert compute_landscape(net, *batch, points=3, seed=1) == compute_landscape(net, *batch, points=3, seed=1)
    assert compute_landscape(net, *batch, points=3, seed=1) != compute_landscape(net, *batch, points=3, seed=2)


def test_directions_are_as_long_as_the_filters_and_leave_pruned_weights(
    masks: dict[str, Tensor], net: nn.Module
) -> None:
    home = {name: net.get_parameter(name).detach() for name in masks}
    for name, step in _draw_direction(home, masks, torch.Generator().manual_seed(0)).items():
        assert (step[~masks[name]] == 0).all() and (step[masks[name]] != 0).all()
        torch.testing.assert_close(step.flatten(1).norm(dim=1), home[name].flatten(1).norm(dim=1))


def test_a_filter_that_is_pruned_away_stays_nothing() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    found = compute_landscape(layer, torch.ones(1, 2), torch.tensor([0]), points=3)
    assert all(torch.tensor(found["loss"]).isfinite())


@pytest.mark.parametrize("options", [{"points": 4}, {"points": 1}, {"radius": 0}, {"dimensions": 3}])
def test_options_are_checked(options: dict[str, int], net: nn.Module, batch: Batch) -> None:
    with pytest.raises(ValueError, match="1 or 2, points odd"):
        compute_landscape(net, *batch, **options)  # type: ignore[arg-type]
