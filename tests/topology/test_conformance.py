"""What every topology promises, over all that are registered: 20 updates of a small network."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy.topology import (
    TOPOLOGIES,
    HasCountSchedule,
    HasDormantWeights,
    HasFinalDensity,
    Layer,
    UpdateStep,
    update,
)

SHAPES = {
    "conv.weight": (8, 3, 3, 3),
    "block.weight": (12, 8, 1, 1),
    "fc.weight": (10, 12),
    "tiny.weight": (2, 2),
    "dense.weight": (5,),
}
START = {"conv.weight": 100, "block.weight": 40, "fc.weight": 61, "tiny.weight": 1, "dense.weight": 5}
END = {"conv.weight": 20, "block.weight": 9, "fc.weight": 13, "tiny.weight": 1, "dense.weight": 5}
ALL = {name: torch.Size(shape).numel() for name, shape in SHAPES.items()}
STEPS, INTERVAL = 400, 10
DUE = range(INTERVAL, 21 * INTERVAL, INTERVAL)
PHASED = {"acdc": {}, "sparse_to_dense": {"dense_from": 0.25}}  # they have no interval


def has(name: str, option: str) -> bool:
    return option in {field.name for field in dataclasses.fields(TOPOLOGIES.get(name))}


def build(name: str, **options: object) -> object:
    return TOPOLOGIES.build(
        name, **options, **({"interval": INTERVAL} if has(name, "interval") else PHASED.get(name, {}))
    )


def get_end(topology) -> dict[str, int]:
    """The counts at the end of training."""
    if isinstance(topology, HasFinalDensity):
        return ALL
    return END if isinstance(topology, HasCountSchedule) else START


def network(random_layer, topology, step: int, masks=None, explored=None, *, ties: bool = False) -> list[Layer]:
    final = get_end(topology)
    return [
        random_layer(
            shape,
            START[name],
            1000 * step + i,
            name=name,
            final=final[name],
            ties=ties,
            mask=None if masks is None else masks[name],
            explored=None if explored is None else explored[name],
            reserve=isinstance(topology, HasDormantWeights),
        )
        for i, (name, shape) in enumerate(SHAPES.items())
    ]


def train(random_layer, topology, *, turned: bool = False, ties: bool = False):
    """The layers before and the masks after each of 20 updates."""
    masks = explored = None
    for step in DUE:
        layers = network(random_layer, topology, step, masks, explored, ties=ties)
        masks = update(topology, layers[::-1] if turned else layers, UpdateStep(step, STEPS, 17))
        explored = {layer.name: layer.explored | masks[layer.name] for layer in layers}
        yield step, layers, masks


REGROWING = [name for name in TOPOLOGIES.names() if has(name, "regrow")]


@pytest.fixture(params=[*TOPOLOGIES.names(), *(f"{name} regrow" for name in REGROWING)])
def topology(request):
    name, *regrow = request.param.split()
    return build(name, **({"regrow": True} if regrow else {}))


@pytest.mark.parametrize("ties", [False, True])
def test_counts_are_exact_and_no_layer_is_emptied(random_layer, topology, ties: bool) -> None:
    for step, layers, masks in train(random_layer, topology, ties=ties):
        counts = {name: int(mask.sum()) for name, mask in masks.items()}
        assert min(counts.values()) >= 1
        if isinstance(topology, HasCountSchedule):
            grows = TOPOLOGIES.name_of(topology) in PHASED  # the others only prune
            for layer in layers:
                least = min(START[layer.name], get_end(topology)[layer.name])
                assert least <= counts[layer.name] <= (ALL[layer.name] if grows else int(layer.mask.sum()))
            assert counts == {layer.name: topology.count(layer, UpdateStep(step, STEPS, 17)) for layer in layers}
        elif topology.scope == "network":
            assert sum(counts.values()) == sum(START.values())
        else:
            assert counts == START


def test_a_schedule_ends_on_the_final_counts(random_layer, topology) -> None:
    if not isinstance(topology, HasCountSchedule):
        return
    layers = network(random_layer, topology, STEPS)
    last = max(step for step in range(1, STEPS + 1) if topology.is_due(step, STEPS))
    masks = update(topology, layers, UpdateStep(last, STEPS, 17))
    assert {name: int(mask.sum()) for name, mask in masks.items()} == get_end(topology)


def test_the_same_again_and_in_any_order_of_layers(random_layer, topology) -> None:
    runs = [train(random_layer, topology), train(random_layer, topology), train(random_layer, topology, turned=True)]
    for (_, _, first), (_, _, second), (_, _, turned) in zip(*runs, strict=True):
        assert all(torch.equal(first[name], second[name]) and torch.equal(first[name], turned[name]) for name in SHAPES)


def test_layers_are_not_written_to(random_layer, topology) -> None:
    layers = network(random_layer, topology, 10)
    before = copy.deepcopy(layers)
    update(topology, layers, UpdateStep(10, STEPS, 17))
    for layer, old in zip(layers, before, strict=True):
        for field in ("weight", "mask", "gradient", "momentum", "explored"):
            assert torch.equal(getattr(layer, field), getattr(old, field))


def test_masks_move_if_and_only_if_it_is_not_static(random_layer, topology) -> None:
    moved = any(
        not torch.equal(masks[layer.name], layer.mask)
        for _, layers, masks in train(random_layer, topology)
        for layer in layers
    )
    due = any(topology.is_due(step, STEPS) for step in DUE)
    assert moved == due == (TOPOLOGIES.name_of(topology) != "static")


def test_what_it_does_not_need_it_does_not_look_at(random_layer, topology) -> None:
    layers = network(random_layer, topology, 10)
    unneeded = {field: None for field in ("gradient", "momentum") if field not in topology.needs}
    bare = [dataclasses.replace(layer, **unneeded) for layer in layers]
    masks = [update(topology, given_, UpdateStep(10, STEPS, 17)) for given_ in (layers, bare)]
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in SHAPES)
    assert topology.needs <= {"gradient", "momentum"} and topology.scope in ("layer", "network")


def test_it_is_a_frozen_value_that_can_be_copied(topology) -> None:
    assert copy.deepcopy(topology) == topology == dataclasses.replace(topology)
    assert TOPOLOGIES.build(TOPOLOGIES.name_of(topology), **dataclasses.asdict(topology)) == topology
    assert all(density <= topology.initial_density(density) <= 1 for density in (0.001, 0.3, 1.0))


@settings(max_examples=150)
@given(
    st.sampled_from(TOPOLOGIES.names()),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4),
    st.integers(0, 999),
    st.booleans(),
    st.sampled_from([1, 37, 100, 399]),
)
def test_counts_hold_for_any_shapes_and_densities(
    random_layer, name: str, sizes, seed: int, ties: bool, step: int
) -> None:
    topology, layers = build(name), []
    for i, (rows, columns, start, end) in enumerate(sizes):
        kept = max(1, round(start * rows * columns))
        final = max(1, round(end * kept)) if isinstance(topology, HasCountSchedule) else kept
        layers.append(random_layer((rows, columns), kept, seed + i, name=str(i), final=final, ties=ties))
    masks = update(topology, layers, UpdateStep(step, STEPS, seed))  # update itself checks the counts
    for layer in layers:
        if topology.scope == "layer" and not isinstance(topology, HasCountSchedule):
            assert masks[layer.name].sum() == layer.mask.sum()
        assert masks[layer.name].any()
    if not isinstance(topology, HasCountSchedule):
        assert sum(int(mask.sum()) for mask in masks.values()) == sum(layer.kept for layer in layers)
