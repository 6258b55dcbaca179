from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarefy.topology import TOPOLOGIES, UpdateStep, update

OPTIONS = {"fraction": 0.34, "schedule": "constant", "stop": 1}
UPDATE_STEP = UpdateStep(100, None, 17)
WEIGHT = [[5.0, 4.0, 0, 0], [3.0, 2.0, 0, 0], [0.1, 0.2, 0, 0]]
GRADIENT = [[0, 0, 9.0, 8.0], [0, 0, 0, 1.0], [7.0, 7.0, 0, 0]]


def next_mask(kept, **options) -> list[list[int]]:
    return update(TOPOLOGIES.build("srigl", **OPTIONS | options), [kept], UPDATE_STEP)["fc.weight"].int().tolist()


def test_a_neuron_with_too_few_salient_weights_is_ablated(layer) -> None:
    # RigL would drop 0.1 and 0.2 and grow 9 and 8: salient are 4, 2, 0. Less than one: the last is ablated and its two
    # weights go to the others: fan-in 6 / 2 = 3, filled up by gradient
    assert next_mask(layer(WEIGHT, gradient=GRADIENT)) == [[1, 1, 1, 0], [1, 1, 0, 1], [0, 0, 0, 0]]


def test_neurons_of_the_last_layer_are_never_ablated(layer) -> None:
    last = dataclasses.replace(layer(WEIGHT, gradient=GRADIENT), is_output=True)
    assert next_mask(last) == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_an_uneven_count_is_spread_evenly(layer) -> None:
    weight = [[5.0, 4.0, 3.0, 0], [3.0, 2.0, 0, 0], [2.0, 2.0, 0, 0]]
    mask = next_mask(layer(weight, gradient=[[0.0] * 4] * 3), gamma=0, fraction=0.1)
    assert mask == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0]]  # 7 = 3 + 2 + 2


def test_an_ablated_neuron_comes_back_when_its_gradients_are_large(layer) -> None:
    weight = [[4.0, 3.0, 2.0, 0], [0, 0, 0, 0]]
    for size, expected in ((9.0, [[1, 1, 0, 0], [1, 0, 0, 0]]), (0.1, [[1, 1, 1, 0], [0, 0, 0, 0]])):
        kept = layer(weight, gradient=[[1.0, 1.0, 1.0, 0.5], [size, 0, 0, 0]])
        assert next_mask(kept) == expected


def test_gamma_is_checked() -> None:
    with pytest.raises(ValueError, match="gamma is a fraction"):
        TOPOLOGIES.build("srigl", gamma=1.1)


@given(
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(1, 3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 999),
    st.booleans(),
)
def test_fan_ins_differ_by_at_most_one(random_layer, rows, columns, side, density, gamma, seed, ties) -> None:
    size = rows * columns * side
    count = max(1, round(density * size))
    kept = random_layer((rows, columns, side), count, seed, ties=ties)
    mask = update(TOPOLOGIES.build("srigl", **OPTIONS | {"gamma": gamma}), [kept], UPDATE_STEP)["fc.weight"]
    fan_ins = [fan_in for fan_in in mask.flatten(1).sum(1).tolist() if fan_in]
    assert sum(fan_ins) == count and max(fan_ins) - min(fan_ins) <= 1
    again = update(
        TOPOLOGIES.build("srigl", **OPTIONS | {"gamma": 0.0}),
        [random_layer((rows, columns, side), count, seed + 1, mask=mask)],
        UPDATE_STEP,
    )
    fan_ins = again["fc.weight"].flatten(1).sum(1).tolist()
    assert sum(fan_ins) == count and max(fan_ins) - min(fan_ins) <= 1  # gamma = 0 ablates none
