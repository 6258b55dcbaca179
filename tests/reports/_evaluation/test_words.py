from __future__ import annotations

import pytest

from rarefy.reports._evaluation import _words as words


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (words.percent(0.85321), "85.32%"),
        (words.interval([0.8459, 0.8601]), "[84.6, 86.0]"),
        (words.with_interval(0.5, None), "50.00%"),
        (words.whole(270896), "270,896"),
        (words.quantity(999), "999"),
        (words.quantity(999_999), "1 M"),
        (words.quantity(131_072, "B"), "131 kB"),
        (words.quantity(0), "0"),
        (words.quantity(4.1e20), "4.1e+05 P"),
        (words.seconds(61.54), "61.5 s"),
        (words.seconds(0.00321), "3.21 ms"),
        (words.seconds(2e-5), "20 µs"),
        (words.pixels(8 / 255), "8/255"),
        (words.pixels(0.5 / 255), "0.5/255"),
        (words.pixels(0.1), "25.5/255"),
        (words.pixels(0.03), "0.03"),
        (words.pixels(0), "0"),
        (words.settings({"eps": 8 / 255, "steps": 20, "limit": None, "norm": "inf"}), "eps 8/255, steps 20, norm inf"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
        (words.listed(["a"]), "a"),
    ],
)
def test_numbers_are_said(said: str, wanted: str) -> None:
    assert said == wanted


def test_nothing_is_a_dash() -> None:
    sayings = (words.percent, words.interval, words.number, words.whole, words.quantity, words.seconds)
    assert {say(None) for say in sayings} == {words.with_interval(None, None)} == {words.NOTHING}
    assert words.mean([]) is None
