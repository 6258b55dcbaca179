"""Division of the network's dropped weights: by hand and by its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rarefy.topology._redistributions._proportional import apportion


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
