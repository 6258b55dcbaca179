"""Drawn masks: exact counts, nested masks, one function of the seed; over shapes, densities and seeds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy import masks

GOLDEN = json.loads((Path(__file__).parent / "golden" / "version1.json").read_text(encoding="utf-8"))

GROUPS = json.loads((Path(__file__).parent / "golden" / "groups.json").read_text(encoding="utf-8"))["layers"]

Shapes = dict[str, tuple[int, ...]]

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
shapes_of_layers = st.dictionaries(
    names, st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
)
seeds = st.integers(-(2**70), 2**70)
densities = st.floats(0, 1)


def counts_at(shapes: Shapes, density: float) -> dict[str, int]:
    return {name: round(density * math.prod(shape)) for name, shape in shapes.items()}


@pytest.mark.parametrize("case", GOLDEN["layers"], ids=[case["name"] for case in GOLDEN["layers"]])
def test_golden_masks(case: dict[str, Any]) -> None:
    name, shape = case["name"], tuple(case["shape"])
    drawn = masks.draw_masks({name: case["kept"]}, {name: shape}, int(case["seed"]))
    bits = np.packbits(drawn[name].numpy().ravel(), bitorder="little")
    assert bits.tobytes().hex() == case["bits"]
    assert drawn.checksum() == case["checksum"]


@pytest.mark.parametrize("case", GROUPS, ids=[f"{case['pattern']}-{case['name']}" for case in GROUPS])
def test_golden_groups(case: dict[str, Any]) -> None:
    name, shape, pattern = case["name"], tuple(case["shape"]), case["pattern"]
    drawn = masks.draw_masks({name: case["kept"]}, {name: shape}, int(case["seed"]), pattern=pattern)
    bits = np.packbits(drawn[name].numpy().ravel(), bitorder="little")
    assert bits.tobytes().hex() == case["bits"]
    assert drawn.checksum() == case["checksum"]


def test_golden_network() -> None:
    layers = GOLDEN["network"]["layers"]
    counts = {layer["name"]: layer["kept"] for layer in layers}
    drawn = masks.draw_masks(counts, {layer["name"]: tuple(layer["shape"]) for layer in layers}, 17)
    assert drawn.checksum() == GOLDEN["network"]["checksum"]
    assert drawn.counts() == counts


@settings(deadline=None, max_examples=60)
@given(shapes=shapes_of_layers, density=densities, seed=seeds)
def test_counts_are_exact(shapes: Shapes, density: float, seed: int) -> None:
    counts = counts_at(shapes, density)
    drawn = masks.draw_masks(counts, shapes, seed)
    assert drawn.counts() == counts == {name: int(mask.numpy().sum()) for name, mask in drawn.items()}
    assert drawn.kept == sum(counts.values())
    assert drawn.total == sum(map(math.prod, shapes.values()))
    assert drawn.density == drawn.kept / drawn.total
    assert drawn.shapes == shapes and list(drawn) == list(shapes) and drawn.seed == seed


@settings(deadline=None, max_examples=60)
@given(shapes=shapes_of_layers, low=densities, high=densities, seed=seeds)
def test_masks_of_one_seed_are_nested(shapes: Shapes, low: float, high: float, seed: int) -> None:
    low, high = sorted((low, high))
    few, many = (masks.draw_masks(counts_at(shapes, density), shapes, seed) for density in (low, high))
    assert all(not (few[name] & ~many[name]).any() for name in shapes)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), shapes=shapes_of_layers, density=densities, seed=seeds)
def test_order_and_company_do_not_matter(data: st.DataObject, shapes: Shapes, density: float, seed: int) -> None:
    drawn = masks.draw_masks(counts_at(shapes, density), shapes, seed)
    shuffled = dict(data.draw(st.permutations(list(shapes.items()))))
    again = masks.draw_masks(counts_at(shapes, density), shuffled, seed)
    assert again == drawn and list(again) == list(shuffled)
    for name, shape in shapes.items():
        assert torch.equal(again[name], masks.draw_mask(name, shape, drawn.counts()[name], seed))


@settings(deadline=None, max_examples=30)
@given(shapes=shapes_of_layers, density=densities, seed=seeds)
def test_masks_are_the_references(reference: SimpleNamespace, shapes: Shapes, density: float, seed: int) -> None:
    small = {name: shape[:2] for name, shape in shapes.items()}
    counts = counts_at(small, density)
    drawn = masks.draw_masks(counts, small, seed)
    for name, mask in drawn.items():
        assert mask.flatten().tolist() == reference.mask(seed, name, mask.numel(), counts[name])


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    before = torch.get_rng_state()
    first = masks.draw_mask("a", (100,), 10, 17)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(masks.draw_mask("a", (100,), 10, 17), first)
    assert not torch.equal(masks.draw_mask("a", (100,), 10, 18), first)
    assert not torch.equal(masks.draw_mask("b", (100,), 10, 17), first)


def test_positions_look_independent() -> None:
    # kept neighbours of a 10% mask of 90,000: 900 expected, standard deviation about 30
    mask = masks.draw_mask("a", (300, 300), 9000, 17)
    assert abs(int((mask[:, 1:] & mask[:, :-1]).sum()) - 897) < 150
    assert abs(int((mask[1:] & mask[:-1]).sum()) - 897) < 150
    other = masks.draw_mask("a", (300, 300), 9000, 18)
    assert abs(int((mask & other).sum()) - 900) < 150


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"'fc' of shape \(2, 3\) cannot keep 7 weights: keep between 0 and 6"):
        masks.draw_masks({"fc": 7}, {"fc": (2, 3)}, 0)
    with pytest.raises(ValueError, match="cannot keep -1"):
        masks.draw_mask("fc", (2, 3), -1, 0)
    with pytest.raises(ValueError, match="One of them is missing for: a, b"):
        masks.draw_masks({"a": 1, "c": 1}, {"c": (2,), "b": (2,)}, 0)
