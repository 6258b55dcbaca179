from __future__ import annotations

import pytest

from rarefy.reports import pages


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (pages.format_percent(0.85321), "85.32%"),
        (pages.format_interval([0.8459, 0.8601]), "[84.6, 86.0]"),
        (pages.format_with_interval(0.5, None), "50.00%"),
        (pages.format_count(270896), "270,896"),
        (pages.format_quantity(999), "999"),
        (pages.format_quantity(999_999), "1 M"),
        (pages.format_quantity(131_072, "B"), "131 kB"),
        (pages.format_quantity(0), "0"),
        (pages.format_quantity(4.1e20), "4.1e+05 P"),
        (pages.format_seconds(61.54), "61.5 s"),
        (pages.format_seconds(0.00321), "3.21 ms"),
        (pages.format_seconds(2e-5), "20 µs"),
        (pages.format_pixels(8 / 255), "8/255"),
        (pages.format_pixels(0.5 / 255), "0.5/255"),
        (pages.format_pixels(0.1), "25.5/255"),
        (pages.format_pixels(0.03), "0.03"),
        (pages.format_pixels(0), "0"),
        (
            pages.format_options({"eps": 8 / 255, "steps": 20, "limit": None, "norm": "inf"}),
            "eps 8/255, steps 20, norm inf",
        ),
        (pages.join_names(["a", "b", "c"]), "a, b and c"),
        (pages.join_names(["a"]), "a"),
    ],
)
def test_numbers_are_said(said: str, wanted: str) -> None:
    assert said == wanted


def test_nothing_is_a_dash() -> None:
    sayings = (
        pages.format_percent,
        pages.format_interval,
        pages.format_number,
        pages.format_count,
        pages.format_quantity,
        pages.format_seconds,
    )
    assert {say(None) for say in sayings} == {pages.format_with_interval(None, None)} == {pages.NOTHING}
    assert pages.compute_mean([]) is None
