"""Every pattern: one name, exact counts, a function of the seed, nested masks."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy.errors import UnknownName, UnknownOption
from rarefy.masks import PATTERNS, GroupPattern, draw_masks, parse_pattern

NAMES = sorted(example for kind in PATTERNS.names() for example in PATTERNS.get(kind).examples)
GROUPS = [name for name in NAMES if isinstance(parse_pattern(name), GroupPattern)]
shapes = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_and_written(name: str) -> None:
    pattern = parse_pattern(name)
    assert pattern.name == name and parse_pattern(pattern.name) == pattern
    assert parse_pattern(f" {name.upper()} ") == pattern
    assert draw_masks({"a": 32}, {"a": (8, 8)}, 3, pattern=name).pattern == name


@pytest.mark.parametrize("name", ["out", "out0", "out1", "in1", "out8in", "kernel3", "outt8", "2:3", "", "out99999"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises((UnknownName, UnknownOption)):
        parse_pattern(name)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(NAMES), shapes, st.floats(0, 1), st.floats(0, 1), st.integers(-(2**70), 2**70))
def test_counts_are_exact_and_masks_nested(
    name: str, shape: tuple[int, ...], one: float, other: float, seed: int
) -> None:
    pattern = parse_pattern(name)
    few, many = sorted(round(density * math.prod(shape)) for density in (one, other))
    if not (pattern.fits(shape, few) and pattern.fits(shape, many)):
        return
    small, large = (pattern.draw("fc.weight", shape, kept, seed) for kept in (few, many))
    assert small.dtype == torch.bool and small.shape == shape and small.is_contiguous()
    assert (int(small.sum()), int(large.sum())) == (few, many)
    assert not bool((small & ~large).any())
    assert torch.equal(small, pattern.draw("fc.weight", shape, few, seed))


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(GROUPS), shapes, st.floats(0, 1), st.integers(0, 99))
def test_at_most_one_group_is_kept_in_part(name: str, shape: tuple[int, ...], density: float, seed: int) -> None:
    pattern = cast(GroupPattern, parse_pattern(name))
    kept = round(density * math.prod(shape))
    mask = pattern.draw("fc.weight", shape, kept, seed)
    groups: dict[tuple[int, ...], list[bool]] = {}
    for place in torch.cartesian_prod(*map(torch.arange, shape)).view(-1, len(shape)).tolist():
        corner = tuple(x // extent for x, extent in zip(place, pattern.block(shape), strict=True))
        groups.setdefault(corner, []).append(bool(mask[tuple(place)]))
    partial = [members for members in groups.values() if any(members) and not all(members)]
    assert len(partial) <= 1
    assert all(members == sorted(members, reverse=True) for members in partial), "its first weights are kept"


@pytest.mark.parametrize("name", GROUPS)
def test_groups_of_one_weight_are_the_unstructured_mask(name: str) -> None:
    pattern = cast(GroupPattern, parse_pattern(name))
    shape = {"in": (7, 1), "ou": (1, 7), "ke": (5, 6)}[name[:2]]
    assert torch.equal(pattern.draw("a", shape, 3, 5), draw_masks({"a": 3}, {"a": shape}, 5)["a"])


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_is_as_likely(name: str) -> None:
    pattern = parse_pattern(name)
    total = sum(pattern.draw("a", (16, 8, 3, 3), 144, seed).double() for seed in range(400)) / 400
    size = math.prod(cast(GroupPattern, pattern).block((16, 8, 3, 3)))
    deviation = math.sqrt(0.125 * 0.875 / 400)
    assert abs(float(total.mean()) - 0.125) < 1e-9
    assert float(total.std()) < 1.5 * deviation, f"groups of {size}"
    assert float(total.max()) < 0.125 + 5.5 * deviation
