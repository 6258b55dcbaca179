"""The 2:4 pattern: blocks by brute force, the rule by big integers, and torch's own packing as the judge."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter

import pytest
import torch
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from rarefy import masks
from rarefy.registry import UnknownName

Block = tuple[tuple[int, ...], ...]


def all_blocks() -> list[Block]:
    """Every 4x4 matrix of bits with two in each row and column, of all 65,536 there are."""
    found = []
    for bits in itertools.product((0, 1), repeat=16):
        rows = [bits[i : i + 4] for i in range(0, 16, 4)]
        if all(sum(row) == 2 for row in rows) and all(sum(column) == 2 for column in zip(*rows, strict=True)):
            found.append(tuple(rows))
    return found


def kept_columns(block: Block) -> list[tuple[int, ...]]:
    return [tuple(i for i, bit in enumerate(row) if bit) for row in block]


def sample(shape: tuple[int, ...], seed: int = 17, name: str = "fc.weight") -> torch.Tensor:
    return masks.draw_masks({name: math.prod(shape) // 2}, {name: shape}, seed, pattern="2:4")[name]


def blocks_of(mask: torch.Tensor) -> list[Block]:
    """In row-major order."""
    rows = mask.flatten(1).int().tolist()
    corners = itertools.product(range(0, len(rows), 4), range(0, len(rows[0]), 4))
    return [tuple(tuple(row[left : left + 4]) for row in rows[top : top + 4]) for top, left in corners]


def test_the_rule_is_the_documented_one():
    """The same with Python's own integers, which never wrap, and blocks found by brute force."""
    ordered = sorted(all_blocks(), key=kept_columns)
    assert len(ordered) == 90
    key = int.from_bytes(hashlib.blake2b(b"rarefy/mask/1/-5/a.weight", digest_size=8).digest(), "little")
    expected = []
    for i in range(3 * 9):
        z = (key + (i + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        expected.append(ordered[(z ^ z >> 31) * 90 >> 64])
    assert blocks_of(sample((12, 4, 3, 3), -5, "a.weight")) == expected


def test_it_is_frozen():
    checksum = masks.Masks({"fc.weight": sample((64, 64))}).checksum()
    assert checksum == "979a791dd500b9ff91047280d544da5a"


def test_every_block_is_as_likely():
    drawn = Counter(blocks_of(sample((480, 600))))
    assert drawn.keys() == set(all_blocks())
    expected = 480 * 600 / 16 / 90
    statistic = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert 40 < statistic < 160, "chi-square of 89 degrees of freedom: mean 89, deviation 13.3"


@pytest.mark.parametrize("shape", [(64, 128), (64, 64, 1, 1), (64, 64, 3, 3)])
def test_torch_packs_it_without_loss_both_ways(shape):
    mask = sample(shape)
    assert mask.shape == shape
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1)).half().masked_fill(~mask, 0).flatten(1)
    for matrix in (weight, weight.t().contiguous()):
        packed, meta = sparse_semi_structured_from_dense_cutlass(matrix)
        assert packed.numel() == matrix.numel() // 2
        assert torch.equal(sparse_semi_structured_to_dense_cutlass(packed, meta), matrix)


def test_layers_that_cannot_have_it_are_drawn_as_ever():
    shapes = {"conv.weight": (8, 3, 3, 3), "hidden.weight": (8, 16), "head.weight": (10, 8), "other.weight": (8, 8)}
    counts = {"conv.weight": 108, "hidden.weight": 64, "head.weight": 40, "other.weight": 31}
    plain, drawn = masks.draw_masks(counts, shapes, 3), masks.draw_masks(counts, shapes, 3, pattern="2:4")
    same = {name for name in shapes if torch.equal(plain[name], drawn[name])}
    assert same == {"conv.weight", "head.weight", "other.weight"}
    assert drawn.counts() == counts
    assert (plain.seed, drawn.seed) == (3, None)
    assert masks.unpack_masks(*masks.pack_masks(drawn)) == drawn


def test_at_most_two_of_four_both_ways_is_the_pattern():
    mask = sample((8, 8))
    assert masks.is_semi_structured(mask)
    fewer = mask & (torch.arange(64).view(8, 8) % 3 > 0)
    assert masks.is_semi_structured(fewer)
    rows_only = torch.tensor([[True, True, False, False]] * 4)
    assert not masks.is_semi_structured(rows_only)
    assert not masks.is_semi_structured(rows_only.t())
    assert not masks.is_semi_structured(torch.zeros(6, 8, dtype=torch.bool)), "rows that do not divide"
    assert not masks.is_semi_structured(torch.zeros(8, dtype=torch.bool)), "no matrix"


def test_what_cannot_be_had_is_told():
    with pytest.raises(ValueError, match=r"density 0\.5 .*'a', has the shape \(8, 8\) and keeps 30 of 64"):
        masks.draw_masks({"a": 30, "b": 18}, {"a": (8, 8), "b": (6, 6)}, 1, pattern="2:4")
    with pytest.raises(UnknownName, match=r"Unknown pattern '2:5'\. Did you mean '2:4'"):
        masks.draw_masks({"a": 32}, {"a": (8, 8)}, 1, pattern="2:5")
