"""Shares of the network's dropped weights, by hand and by their bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarefy.topology import REDISTRIBUTIONS
from rarefy.topology._redistributions._proportional import apportion


@pytest.fixture
def layers(layer):
    return [
        layer([1.0, -5.0, 0, 0, 0, 0, 0, 0], momentum=[6.0, -3.0, 99, 99, 99, 99, 99, 99], name="a"),  # means 3, 4.5
        layer([1.0, 1.0, -1.0, 1.0, 0, 0, 0, 0], momentum=[1.5] * 8, name="b"),  # means 1, 1.5
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", {"a": 1, "b": 3}),
        ("momentum", {"a": 3, "b": 1}),  # 4.5 : 1.5
        ("magnitude", {"a": 3, "b": 1}),  # 3 : 1
        ("nonzeros", {"a": 1, "b": 3}),  # 2 : 4 of 4 = 1.33 : 2.67
    ],
)
def test_shares_by_hand(layers, name: str, expected: dict[str, int]) -> None:
    assert REDISTRIBUTIONS.build(name)(layers, {"a": 1, "b": 3}) == expected


def test_what_has_no_room_is_left_to_the_others(layer) -> None:
    layers = [layer([9.0, 9.0, 0.0], name="a"), layer([1.0, 1.0, 1.0, 0.0, 0.0], name="b")]
    # 90% of 3 dropped weights would be 2.7, but "a" has room for its own one and one more
    assert REDISTRIBUTIONS.build("magnitude")(layers, {"a": 1, "b": 2}) == {"a": 2, "b": 1}


def test_nothing_to_go_by_leaves_every_layer_its_own(layer) -> None:
    layers = [layer([1.0, 1.0, 0.0], momentum=[0.0] * 3, name=name) for name in "ab"]
    assert REDISTRIBUTIONS.build("momentum")(layers, {"a": 1, "b": 0}) == {"a": 1, "b": 0}


def test_equal_remainders_go_by_name_in_any_order() -> None:
    room = {"b": 9, "a": 9, "c": 9}
    assert apportion(4, dict.fromkeys(room, 1.0), room) == {"a": 2, "b": 1, "c": 1}


def test_only_what_has_no_share_is_left() -> None:
    assert apportion(5, {"a": 1.0, "b": 0.0, "c": 0.0}, {"a": 2, "b": 2, "c": 4}) == {"a": 2, "b": 1, "c": 2}


@given(st.lists(st.tuples(st.floats(0, 1e30), st.integers(0, 1000)), min_size=1, max_size=8), st.data())
def test_apportion_is_exact_within_bounds_and_blind_to_order(
    layers: list[tuple[float, int]], data: st.DataObject
) -> None:
    shares = {f"l{i}": share for i, (share, _) in enumerate(layers)}
    room = {f"l{i}": most for i, (_, most) in enumerate(layers)}
    total = data.draw(st.integers(0, sum(room.values())))
    given_ = apportion(total, shares, room)
    assert sum(given_.values()) == total and all(0 <= given_[name] <= room[name] for name in room)
    names = data.draw(st.permutations(list(room)))
    assert apportion(total, {n: shares[n] for n in names}, {n: room[n] for n in names}) == given_
