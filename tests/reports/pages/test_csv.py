"""Tables as CSV: read back by Python's own reader, and by nobody as a formula."""

from __future__ import annotations

import csv

import pytest

from rarefy.reports import format_csv

FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\tx", '="a,b"')
NUMBERS = (-0.5, "-0.5", "+1e-3", "-inf", -3, "-")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_and_no_head_is_a_formula(text: str) -> None:
    rows = list(csv.reader(format_csv([text], [[text]]).splitlines()))
    assert rows == [[f"'{text}"], [f"'{text}"]]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_stay_numbers(number: object) -> None:
    assert format_csv(["n"], [[number]]) == f"n\n{number}\n"
