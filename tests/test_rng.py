"""Streams of random numbers: frozen for ever, independent of everything but seed and name."""

from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rarefy.rng import Streams, derive_seed

NAMES = st.lists(st.one_of(st.text(), st.integers()), max_size=4)
# Frozen: every run and record of the past depends on them. A line that fails is a new version of every result.
GOLDEN = {
    (17, "init"): 5212759349921424788,
    (17, "mask"): 14951451342871873867,
    (17, "order", 0): 5798746727744802111,
    (17, "order", 159): 1458228900230678986,
    (0,): 16054605228632951893,
    (-1, "split"): 8915030175961825581,
    (2**70, "topology", "layer1.0.conv1.weight", 100): 5719324664051455234,
}


@pytest.mark.parametrize("place", GOLDEN, ids=str)
def test_seeds_are_frozen(place):
    assert derive_seed(*place) == GOLDEN[place]


@given(st.integers(), NAMES)
def test_derive_is_the_documented_hash(seed, names):
    text = "rarefy/" + "/".join(str(part) for part in [seed, *names])
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    assert derive_seed(seed, *names) == sum(byte << 8 * place for place, byte in enumerate(digest))


@given(st.integers(), NAMES)
def test_every_seed_and_name_makes_a_generator(seed, names):
    assert isinstance(Streams(seed)(*names), torch.Generator)


def test_streams_differ_by_seed_name_and_number():
    places = [(17, "order", 1), (17, "order", 2), (17, "augment", 1), (18, "order", 1), (17, "order"), (171, "order")]
    assert len({derive_seed(*place) for place in places}) == len(places)


def test_a_stream_begins_anew_at_every_call_and_knows_no_other():
    streams = Streams(17)
    first = torch.rand(5, generator=streams("init"))
    torch.rand(1000, generator=streams("order", 3))
    assert torch.equal(torch.rand(5, generator=streams("init")), first)
    assert torch.equal(torch.rand(5, generator=Streams(17)("init")), first)


def test_a_stream_is_torch_s_generator_of_the_derived_seed():
    expected = torch.randint(2**30, (4,), generator=torch.Generator().manual_seed(derive_seed(17, "init")))
    assert torch.equal(torch.randint(2**30, (4,), generator=Streams(17)("init")), expected)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=Streams(17)("init"))
    assert torch.equal(torch.get_rng_state(), before)
