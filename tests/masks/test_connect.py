"""Connected masks against a program that follows the documentation word by word, and what they promise."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy.errors import InvalidInput
from rarefy.masks import count_connecting, draw_connected, draw_mask

GOLDEN = json.loads((Path(__file__).parent / "golden" / "connected.json").read_text(encoding="utf-8"))


def score_all(seed: int, name: str, n: int) -> list[int]:
    """The ranks of the weights, by the plain masks: a mask of one weight more has the next one."""
    order, before = [0] * n, torch.zeros(n, dtype=torch.bool)
    for kept in range(1, n + 1):
        mask = draw_mask(name, (n,), kept, seed)
        order[int((mask & ~before).nonzero())] = kept
        before = mask
    return order


def draw_slowly(name: str, shape: tuple[int, ...], kept: int, seed: int, groups: int) -> list[bool]:
    """The specification on the page about masks, with sets and loops."""
    outputs, inputs, *kernel = shape
    size, positions = math.prod(shape), math.prod(kernel)
    rank = score_all(seed, name, size)
    row = {i: i // (inputs * positions) for i in range(size)}
    column = {i: (row[i] // (outputs // groups), i // positions % inputs) for i in range(size)}
    by_score = sorted(range(size), key=lambda i: rank[i])

    def connects(chosen: set[int]) -> bool:
        return len({row[i] for i in chosen}) == outputs and len({column[i] for i in chosen}) == groups * inputs

    def lowest(units: dict[int, object]) -> dict[object, int]:
        return {unit: min((i for i in units if units[i] == unit), key=lambda i: rank[i]) for unit in units.values()}

    mask = set(by_score[:kept])
    if not connects(mask):
        rows, columns = lowest(row), lowest(column)
        first = {*rows.values(), *columns.values()}
        if len(first) > kept:
            first = set()
            for group in range(groups):
                height = outputs // groups
                down = sorted(range(group * height, (group + 1) * height), key=lambda r: rank[rows[r]])
                across = sorted(((group, c) for c in range(inputs)), key=lambda c: rank[columns[c]])
                for turn in range(max(height, inputs)):
                    pair = down[turn % height], across[turn % inputs]
                    first.add(min((i for i in range(size) if (row[i], column[i]) == pair), key=lambda i: rank[i]))
        mask = {*first, *[i for i in by_score if i not in first][: kept - len(first)]}
    return [i in mask for i in range(size)]


LAYERS = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3)).map(
    lambda sides: ((sides[0] * sides[1], sides[2], sides[3]), sides[0])
)


@settings(deadline=None, max_examples=60)
@given(layer=LAYERS, seed=st.integers(0, 100), fraction=st.floats(0, 1))
def test_it_is_what_the_documentation_says(layer, seed, fraction) -> None:
    shape, groups = layer
    least = count_connecting(shape, groups)
    kept = least + round(fraction * (math.prod(shape) - least))
    mask = draw_connected("a.weight", shape, kept, seed, groups=groups)
    assert mask.flatten().tolist() == draw_slowly("a.weight", shape, kept, seed, groups)


@pytest.mark.parametrize(
    ("shape", "groups"), [((64, 64, 3, 3), 1), ((10, 64), 1), ((32, 4, 3, 3), 8), ((48, 1, 3, 3), 48)]
)
def test_every_unit_is_connected_at_every_count_and_counts_are_exact(shape, groups) -> None:
    least, size = count_connecting(shape, groups), math.prod(shape)
    for kept in (least, least + 1, least + 17, min(size, 2 * least), min(size, 4 * least), size):
        mask = draw_connected("conv.weight", shape, kept, 17, groups=groups)
        pairs = mask.reshape(groups, shape[0] // groups, shape[1], -1).any(3)
        assert int(mask.sum()) == kept
        assert bool(pairs.any(1).all()) and bool(pairs.any(2).all())


def test_the_fewest_weights_are_an_edge_cover_of_the_complete_bipartite_graph() -> None:
    for outputs, inputs in itertools.product(range(1, 4), repeat=2):
        edges = list(itertools.product(range(outputs), range(inputs)))
        covers = (
            count
            for count in range(1, len(edges) + 1)
            for chosen in itertools.combinations(edges, count)
            if len({o for o, _ in chosen}) == outputs and len({i for _, i in chosen}) == inputs
        )
        assert count_connecting((outputs, inputs)) == next(covers)


def test_where_the_plain_mask_leaves_no_unit_out_nothing_changes() -> None:
    plain = draw_mask("fc.weight", (32, 32), 300, 17)
    assert plain.any(0).all() and plain.any(1).all()
    assert torch.equal(draw_connected("fc.weight", (32, 32), 300, 17), plain)
    sparse = draw_mask("fc.weight", (32, 32), 70, 17)
    assert not (sparse.any(0).all() and sparse.any(1).all())
    corrected = draw_connected("fc.weight", (32, 32), 70, 17)
    assert int((corrected & sparse).sum()) >= 60  # of 70


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_nested_on_both_sides_of_the_number_of_lowest_scores(seed) -> None:
    shape = (12, 20)
    lowest = len(
        {
            min(units, key=lambda i: rank[i])
            for rank in [score_all(seed, "fc.weight", 240)]
            for units in [[20 * r + c for c in range(20)] for r in range(12)]
            + [[20 * r + c for r in range(12)] for c in range(20)]
        }
    )
    masks = {kept: draw_connected("fc.weight", shape, kept, seed) for kept in range(20, 241)}
    broken = [kept for kept in range(21, 241) if bool((masks[kept - 1] & ~masks[kept]).any())]
    assert broken == [lowest]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['shape']} {case['kept']}")
def test_golden(case) -> None:
    mask = draw_connected(case["name"], tuple(case["shape"]), case["kept"], case["seed"], groups=case["groups"])
    assert mask.flatten().nonzero().flatten().tolist() == case["indices"]


@pytest.mark.parametrize("kept", [63, 641])
def test_counts_that_cannot_connect_are_refused(kept) -> None:
    with pytest.raises(InvalidInput) as error:
        draw_connected("fc.weight", (10, 64), kept, 17)
    assert (error.value.name, error.value.value) == ("fc.weight", kept)
