"""``update`` checks its input, and every promise about its output."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rarefy.topology import TOPOLOGIES, HasCountSchedule, HasDormantWeights, HasFinalDensity, UpdateStep, update

UPDATE_STEP = UpdateStep(100, 1000, 17)


@dataclasses.dataclass
class Fake:
    """Answers what it is told to."""

    masks: dict[str, torch.Tensor]
    scope: str = "layer"
    needs: frozenset[str] = frozenset()

    def __call__(self, layers, update_step):
        return self.masks


class FakeSchedule(Fake):
    def count(self, layer, update_step) -> int:
        return 1


def kept(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


@pytest.fixture
def layers(layer):
    return [layer([1.0, 2.0, 0.0, 0.0], name="a"), layer([1.0, 0.0], name="b")]


def test_good_masks_come_back_in_the_order_of_the_layers(layers) -> None:
    masks = update(Fake({"b": kept(0, 1), "a": kept(1, 0, 1, 0)}), layers, UPDATE_STEP)
    assert list(masks) == ["a", "b"] and masks["b"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("masks", "scope", "message"),
    [
        ({"a": kept(1, 1, 1, 0), "b": kept(1, 0)}, "layer", "keeps 3 weights of 'a' instead of 2"),
        ({"a": kept(1, 0, 0, 0), "b": kept(1, 1)}, "layer", "keeps 1 weights of 'a' instead of 2"),
        ({"a": kept(1, 1, 1, 0), "b": kept(0, 0)}, "network", "last weight of 'b': 1 before, 0 after"),
        ({"a": kept(1, 1, 1, 0), "b": kept(1, 0)}, "network", "keeps 4 weights of the network instead of 3"),
        ({"a": kept(1, 1, 0, 0)}, "layer", r"missing \['b'\]"),
        ({"a": kept(1, 1, 0, 0), "b": kept(1, 0), "c": kept(1)}, "layer", r"unknown \['c'\]"),
        ({"a": kept(1, 1, 0), "b": kept(1, 0)}, "layer", r"'a' a mask torch.bool \(3,\)"),
        ({"a": torch.ones(4), "b": kept(1, 0)}, "layer", "'a' a mask torch.float32"),
    ],
)
def test_a_broken_promise_is_an_error_with_the_numbers(layers, masks, scope: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        update(Fake(masks, scope), layers, UPDATE_STEP)


def test_redistribution_may_change_layers_but_not_the_network(layers) -> None:
    masks = {"a": kept(1, 0, 0, 0), "b": kept(1, 1)}
    assert update(Fake(masks, "network"), layers, UPDATE_STEP) == masks


def test_a_schedule_is_held_to_its_own_count(layers) -> None:
    good = {"a": kept(0, 1, 0, 0), "b": kept(1, 0)}
    assert update(FakeSchedule(good), layers, UPDATE_STEP) == good
    with pytest.raises(RuntimeError, match="keeps 2 weights of 'a' instead of 1"):
        update(FakeSchedule({**good, "a": kept(1, 1, 0, 0)}), layers, UPDATE_STEP)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_gradient_that_is_not_finite_is_named(layer, value: float) -> None:
    broken = layer([1.0, 0.0, 0.0], gradient=[1.0, value, value], name="conv1.weight")
    with pytest.raises(ValueError, match=r"gradient of 'conv1\.weight' is nan or infinite in 2 of 3 elements"):
        update(TOPOLOGIES.build("rigl"), [broken], UPDATE_STEP)
    assert update(TOPOLOGIES.build("set"), [broken], UPDATE_STEP)  # does not look at gradients


def test_a_weight_that_is_not_finite_is_named(layer) -> None:
    with pytest.raises(ValueError, match=r"weight of 'fc\.weight' is nan or infinite in 1 of 2"):
        update(TOPOLOGIES.build("set"), [layer([float("nan"), 0.0])], UPDATE_STEP)


def test_missing_momentum_says_which_optimizers_have_it(layer) -> None:
    with pytest.raises(ValueError, match=r"needs the momentum of 'fc\.weight'.*SGD with momentum"):
        update(TOPOLOGIES.build("snfs"), [layer([1.0, 0.0])], UPDATE_STEP)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": torch.ones(2)}, "mask of 'a' must be bool"),
        ({"mask": kept(1, 1, 1)}, r"mask of 'a' has shape \(3,\); its weight has \(2,\)"),
        ({"explored": kept(1)}, "explored of 'a' has shape"),
        ({"gradient": torch.ones(3)}, "gradient of 'a' has shape"),
    ],
)
def test_malformed_layers(layer, changes: dict[str, torch.Tensor], message: str) -> None:
    good = layer([1.0, 0.0], gradient=[1.0, 1.0], name="a")
    with pytest.raises(ValueError, match=message):
        update(TOPOLOGIES.build("rigl"), [dataclasses.replace(good, **changes)], UPDATE_STEP)


def test_a_name_that_comes_twice(layer) -> None:
    with pytest.raises(ValueError, match=r"more than once: a\."):
        update(TOPOLOGIES.build("static"), [layer([1.0], name="a"), layer([1.0], name="a")], UPDATE_STEP)


def test_keys_depend_on_seed_step_and_names_and_on_nothing_else() -> None:
    key = UPDATE_STEP.derive_key("grow", "a")
    assert key == UpdateStep(100, None, 17).derive_key("grow", "a")
    assert (
        len(
            {
                key,
                UPDATE_STEP.derive_key("grow", "b"),
                UpdateStep(200, 1000, 17).derive_key("grow", "a"),
                UpdateStep(100, 1000, 18).derive_key("grow", "a"),
            }
        )
        == 4
    )


def test_who_has_a_schedule_and_who_a_reserve() -> None:
    built = {name: TOPOLOGIES.build(name) for name in TOPOLOGIES.names()}
    assert {name for name, topology in built.items() if isinstance(topology, HasCountSchedule)} == {
        "acdc", "gmp", "granet", "sparse_to_dense",
    }  # fmt: skip
    assert {name for name, topology in built.items() if isinstance(topology, HasFinalDensity)} == {"sparse_to_dense"}
    assert {name for name, topology in built.items() if isinstance(topology, HasDormantWeights)} == {"top_kast"}
