from __future__ import annotations

import pytest

from rarefy.topology import TOPOLOGIES, UpdateStep, update

SHORT = {"interval": 100, "prune_stop": 0.5, "schedule": "constant", "fraction": 0.5}


def test_by_hand(layer) -> None:
    weight = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.0, 0.0]
    kept = layer(weight, gradient=[9.0, *[0.0] * 7, 1.0, 2.0], initial=8, final=2)
    # half way: 2 + 6 * (1/2) ** 3 = 2.75 -> 3; one of these (half, rounded down) is exchanged for the largest gradient
    mask = update(TOPOLOGIES.build("granet", **SHORT), [kept], UpdateStep(250, 1000, 17))["fc.weight"]
    assert mask.int().tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0, 1]


def test_it_goes_on_exchanging_after_it_has_stopped_pruning(layer) -> None:
    kept = layer([0.1, 0.2, 0.0, 0.0], gradient=[0.0, 0.0, 1.0, 2.0], initial=8, final=2)
    granet = TOPOLOGIES.build("granet", **SHORT)
    assert [step for step in range(1, 1001) if granet.is_due(step, 1000)] == [*range(100, 1000, 100)]
    assert update(granet, [kept], UpdateStep(900, 1000, 17))["fc.weight"].int().tolist() == [0, 1, 0, 1]


def test_the_update_that_reaches_the_final_count_is_always_due() -> None:
    granet = TOPOLOGIES.build("granet", interval=100, prune_stop=1.0)
    assert granet.is_due(1000, 1000)


def test_it_starts_half_dense_unless_it_ends_denser() -> None:
    granet = TOPOLOGIES.build("granet")
    assert (granet.initial_density(0.05), granet.initial_density(0.8)) == (0.5, 0.8)
    assert TOPOLOGIES.build("granet", initial=1).initial_density(0.05) == 1.0


@pytest.mark.parametrize(
    "options", [{"initial": 0}, {"prune_stop": 0.9, "stop": 0.8}, {"prune_stop": 0}, {"fraction": 2}]
)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TOPOLOGIES.build("granet", **options)
