"""How numbers and tables look."""

from __future__ import annotations

import logging

import pytest

from rarefy.cli._console import console, percent, quantity, show_warnings, table


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, "0.00%"), (0.1, "10.00%"), (1, "100.00%"), (1 / 3, "33.33%"), (None, "-")]
)
def test_percent(fraction, text):
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (270896, "270.9k"), (4.09e9, "4.09G"), (2.5e15, "2.5P"), (999_999, "1M")],
)
def test_quantity(number, text):
    assert quantity(number) == text


def test_a_table_cuts_nothing_off_where_there_is_no_terminal(capsys):
    long = "/".join(["a_folder_with_a_long_name"] * 12)
    console().print(table(None, ("name", "value"), [("path", long)]))
    assert long in "".join(capsys.readouterr().out.split())


def test_what_looks_like_markup_is_printed_as_it_is(capsys):
    console().print(table(None, ("name", "value"), [("path", "runs[b]/x[/b]")]))
    assert "runs[b]/x[/b]" in capsys.readouterr().out


def test_totals_are_the_last_line(capsys):
    console().print(table("title", ("name", "n"), [("a", 1), ("b", 2)], totals=("total", 3)))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines == [["title"], ["name", "n"], ["a", "1"], ["b", "2"], ["total", "3"]]


ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31mred"


def test_no_text_speaks_to_the_terminal(capsys, monkeypatch):
    """In a sentence, a title, a head, a cell and a warning; what is a control character is spelled out."""
    logger = logging.getLogger("rarefy")
    monkeypatch.setattr(logger, "handlers", [])
    show_warnings()
    logger.warning("%s", ATTACK)
    console().print(f"note: {ATTACK}")
    console().print(table(ATTACK, (ATTACK, "n"), [(ATTACK, 1)], totals=(ATTACK, 1)))
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\x9b") & set(out + err)
    assert out.count("\\x1b]0;owned\\x07") == 5
    assert "\\x9b31mred" in err
