"""Masks in groups move by whole groups: by a program of plain loops, and over every topology that can."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from rarefy.masks import GroupPattern, draw_masks, parse_pattern
from rarefy.topology import TOPOLOGIES, GroupTopology, Layer, UpdateStep, explain_group_refusal, update

MOVING = [name for name in TOPOLOGIES.names() if not explain_group_refusal(TOPOLOGIES.build(name))]
SHAPES = {"conv.weight": (20, 6, 3, 3), "fc.weight": (10, 12), "small.weight": (3, 2)}


def build(name: str, pattern: str, **options: object) -> GroupTopology:
    found = parse_pattern(pattern)
    assert isinstance(found, GroupPattern)
    return GroupTopology(TOPOLOGIES.build(name, **options), found)


def group_of(place: tuple[int, ...], block: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i // extent for i, extent in zip(place, block, strict=True))


def list_groups(mask: torch.Tensor, block: tuple[int, ...]) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for place in itertools.product(*map(range, mask.shape)):
        groups.setdefault(group_of(place, block), []).append(place)
    return groups


def make_layer(name: str, mask: torch.Tensor, seed: int, explored: torch.Tensor | None = None) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    weight, gradient, momentum = (torch.randn(mask.shape, generator=generator) for _ in range(3))
    kept = int(mask.sum())
    seen = mask if explored is None else explored
    return Layer(name, weight.masked_fill(~mask, 0), mask, gradient, momentum, seen, kept, kept)


@pytest.mark.parametrize(
    ("pattern", "block"), [("out4", (4, 1, 1, 1)), ("in2", (1, 2, 1, 1)), ("kernel", (1, 1, 3, 3))]
)
def test_rigl_drops_the_smallest_sums_and_grows_the_largest(pattern: str, block: tuple[int, ...]) -> None:
    shape, size = (8, 4, 3, 3), math.prod(block)
    mask = draw_masks({"w": 72}, {"w": shape}, 17, pattern=pattern)["w"]
    layer = make_layer("w", mask, 1)
    groups = list_groups(mask, block)
    kept = [group for group, places in groups.items() if mask[places[0]]]
    pruned = [group for group in groups if group not in kept]
    size_of = {group: sum(abs(float(layer.weight[place])) for place in groups[group]) for group in kept}
    gradient_of = {
        group: sum(abs(float(layer.require("gradient")[place])) for place in groups[group]) for group in pruned
    }
    count = int(0.3 * 72 / size)
    dropped = set(sorted(kept, key=lambda group: size_of[group])[:count])
    grown = set(sorted(pruned, key=lambda group: -gradient_of[group])[:count])
    expected = torch.zeros(shape, dtype=torch.bool)
    for group in (set(kept) - dropped) | grown:
        for place in groups[group]:
            expected[place] = True
    rigl = build("rigl", pattern, fraction=0.3, schedule="constant")
    assert count and torch.equal(update(rigl, [layer], UpdateStep(100, 1000, 17))["w"], expected)


@pytest.mark.parametrize("pattern", ["out8", "in4", "kernel"])
@pytest.mark.parametrize("name", MOVING)
def test_whole_groups_move_at_the_same_counts(name: str, pattern: str) -> None:
    options = {} if name == "static" else {"interval": 10, "fraction": 0.4}
    topology = build(name, pattern, **options)
    counts = {key: math.prod(shape) // 3 + 1 for key, shape in SHAPES.items()}
    first = masks = dict(draw_masks(counts, SHAPES, 17, pattern=pattern))
    explored = dict(masks)
    for step in range(10, 60, 10):
        layers = [make_layer(key, mask, step + i, explored[key]) for i, (key, mask) in enumerate(masks.items())]
        masks = update(topology, layers, UpdateStep(step, 400, 17))
        explored = {key: explored[key] | mask for key, mask in masks.items()}
        for key, mask in masks.items():
            assert int(mask.sum()) == counts[key]
            for places in list_groups(mask, topology.pattern.block(SHAPES[key])).values():
                members = {bool(mask[place]) for place in places}
                before = [bool(first[key][place]) for place in places]
                assert len(members) == 1 or [bool(mask[place]) for place in places] == before, "kept in part as drawn"
    assert torch.equal(masks["conv.weight"], first["conv.weight"]) == (name == "static")


def test_smaller_groups_move_among_themselves() -> None:
    mask = draw_masks({"w": 30}, {"w": (10, 9)}, 3, pattern="out8")["w"]
    topology = build("set", "out8", fraction=0.5, schedule="constant")
    after = update(topology, [make_layer("w", mask, 5)], UpdateStep(100, 1000, 17))["w"]
    assert not torch.equal(after[8:], mask[8:]) and after[8:].sum() == mask[8:].sum()
    assert not torch.equal(after[:8], mask[:8]) and after[:8].sum() == mask[:8].sum()


def test_groups_of_one_weight_move_like_weights_by_gradient() -> None:
    """The kernel of a linear layer is one weight, so RigL, which draws nothing at random, does what it always does."""
    layer = make_layer("w", draw_masks({"w": 40}, {"w": (10, 12)}, 3)["w"], 7)
    step = UpdateStep(100, 1000, 17)
    assert torch.equal(
        update(build("rigl", "kernel"), [layer], step)["w"], update(TOPOLOGIES.build("rigl"), [layer], step)["w"]
    )


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("snfs", {}, "between layers"),
        ("gmp", {}, "how many weights"),
        ("granet", {}, "how many weights"),
        ("top_kast", {}, "not kept"),
        ("srigl", {}, "one by one"),
        ("set", {"drop": "set"}, "do not add up"),
        ("dynamic", {"drop": "taylor"}, "do not add up"),
        ("dynamic", {"drop": "threshold"}, "do not add up"),
        ("dynamic", {"redistribute": "momentum"}, "between layers"),
    ],
)
def test_the_others_say_why_they_cannot(name: str, options: dict[str, object], reason: str) -> None:
    assert reason in explain_group_refusal(TOPOLOGIES.build(name, **options))


def test_those_that_can() -> None:
    assert {"static", "set", "rigl", "itop", "mest", "dynamic"} <= set(MOVING)
