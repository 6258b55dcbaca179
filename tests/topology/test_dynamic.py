from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from rarefy.topology import DROPS, GROWS, REDISTRIBUTIONS, SCHEDULES, TOPOLOGIES, UpdateStep, update

CHOICES = list(itertools.product(DROPS.names(), GROWS.names(), REDISTRIBUTIONS.names()))


@pytest.mark.parametrize(("drop", "grow", "redistribute"), CHOICES)
def test_every_combination_is_exact(random_layer, drop: str, grow: str, redistribute: str) -> None:
    options = {"level": 0.5} if drop == "threshold" else {}
    dynamic = TOPOLOGIES.build("dynamic", drop=drop, grow=grow, redistribute=redistribute, drop_options=options)
    layers = [random_layer((8, 6), 15, 1, name="a"), random_layer((4, 3, 3, 3), 20, 2, name="b")]
    masks = update(dynamic, layers, UpdateStep(1000, 5000, 17))
    assert sum(int(mask.sum()) for mask in masks.values()) == 35
    assert any(not torch.equal(masks[layer.name], layer.mask) for layer in layers)


def test_named_methods_are_values_over_the_same_pieces(random_layer) -> None:
    layers = [random_layer((20, 10), 60, 1, name="a"), random_layer((10, 10), 20, 2, name="b")]
    update_step = UpdateStep(300, 1000, 17)
    same = {
        "set": {"drop": "magnitude", "grow": "random"},
        "rigl": {"drop": "magnitude", "grow": "gradient"},
        "snfs": {"drop": "magnitude", "grow": "momentum", "redistribute": "momentum"},
        "itop": {"drop": "magnitude", "grow": "random_unfired"},
        "mest": {"drop": "mest", "grow": "random"},
    }
    for name, pieces in same.items():
        method = TOPOLOGIES.build(name)
        shared = {field: getattr(method, field) for field in ("fraction", "interval", "schedule", "stop")}
        dynamic = TOPOLOGIES.build("dynamic", **pieces, **shared)
        assert dynamic.needs == method.needs and dynamic.scope == method.scope
        expected = update(dynamic, layers, update_step)
        for layer_name, mask in update(method, layers, update_step).items():
            assert torch.equal(mask, expected[layer_name])


def test_threshold_drops_only_what_is_below(layer) -> None:
    dynamic = TOPOLOGIES.build("dynamic", drop="threshold", drop_options={"level": 0.15}, schedule="constant")
    mask = update(dynamic, [layer([0.1, 0.2, 0.3, 0.4, 0.0])], UpdateStep(1000, None, 17))["fc.weight"]
    assert mask.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": "magnitud"}, "Did you mean 'magnitude'"),
        ({"grow": "randomly"}, "Did you mean 'random'"),
        ({"redistribute": "all"}, "Unknown redistribution 'all'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"drop": "threshold", "drop_options": {"lvel": 1.0}}, "no option 'lvel'"),
        ({"fraction": 1.5}, r"in \(0, 1\); got 1.5"),
    ],
)
def test_a_wrong_option_is_found_when_the_method_is_built(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TOPOLOGIES.build("dynamic", **options)


def test_it_is_a_value() -> None:
    one, other = TOPOLOGIES.build("dynamic"), TOPOLOGIES.build("dynamic")
    assert one == other and hash(one) == hash(other)
    assert dataclasses.replace(one, grow="gradient").needs == {"gradient"}
    assert SCHEDULES.names() == ["constant", "cosine", "linear"]
