"""One description, two back ends: what is live and what is on paper show the same points."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from matplotlib import figure as matplotlib_figure

from rarefy.reports.figures import (
    Axis,
    Figure,
    Series,
    assign_styles,
    build_plotly,
    draw_files,
    draw_on_axes,
    get_style,
    inline_svg,
)
from rarefy.reports.pages import format_csv

X = Axis("density, %", "density", 100.0, log=True, reverse=True, span=(0.1, 1.0), ticks=(1.0, 0.1))
EVIL = "<b>$x$</b>"
SHOWN = Figure(
    "f",
    f"Title {EVIL}",
    X,
    Axis("accuracy, %", "accuracy", 100.0),
    (
        Series("dense", -1, (1.0,), (0.92,), (0.91,), (0.93,), ("dense",), "level"),
        Series(EVIL, 0, (0.5, 0.1), (0.9, 0.88), (0.89, 0.87), (0.91, 0.89), ("a", "b")),
        Series("published", 1, (0.1,), (0.85,), tips=("c",), kind="hollow"),
        Series("roc", 2, (0.2, 0.4), (0.8, 0.7), kind="curve"),
    ),
    "Caption.",
)


def test_live_traces_are_valid_and_hold_the_scaled_points():
    graph_objects = pytest.importorskip("plotly.graph_objects")
    found = build_plotly(SHOWN)
    graph_objects.Figure(found)  # refuses a name or a value that Plotly does not know
    lines = [trace for trace in found["data"] if trace["meta"]["part"] == "line"]
    assert [trace["meta"]["series"] for trace in lines] == [0, 1, 2, 3]
    assert lines[0]["x"] == [10.0, 100.0]
    assert lines[0]["y"] == [92.0, 92.0]
    assert lines[1]["x"] == [50.0, 10.0]
    assert lines[1]["y"] == [90.0, 88.0]
    assert lines[2]["marker"]["symbol"].endswith("-open")
    bands = [trace for trace in found["data"] if trace["meta"]["part"] == "band"]
    assert bands[1]["x"] == [50.0, 10.0, 10.0, 50.0]
    assert bands[1]["y"] == [89.0, 87.0, 89.0, 91.0]
    assert found["layout"]["xaxis"]["range"] == [math.log10(100), math.log10(10)]


def test_what_came_from_records_is_only_text():
    found = build_plotly(SHOWN)
    assert found["data"][3]["name"] == "&lt;b&gt;$x$&lt;/b&gt;"
    assert "<b>" not in inline_svg(draw_files(SHOWN)["svg"].decode(), "f0", SHOWN.alt)


def test_paper_has_the_same_points_colours_and_order():
    panel = matplotlib_figure.Figure().add_subplot()
    draw_on_axes(panel, SHOWN)
    lines = {line.get_label(): line for line in panel.get_lines()}
    assert list(lines[EVIL].get_xdata()) == [50.0, 10.0]
    assert list(lines[EVIL].get_ydata()) == [90.0, 88.0]
    assert lines[EVIL].get_color() == get_style(0).colour
    assert lines["dense"].get_ydata() == [92.0, 92.0]
    assert lines["published"].get_markerfacecolor() == "none"
    assert panel.get_xlim() == (100.0, 10.0)
    assert len(panel.collections) + len(panel.patches) == 2  # the bands
    assert [text.get_text() for text in panel.get_xticklabels()] == ["100", "10"]


def test_files_are_what_they_say_and_the_same_every_time():
    files, again = draw_files(SHOWN), draw_files(SHOWN)
    assert files["png"].startswith(b"\x89PNG")
    assert files["pdf"].startswith(b"%PDF")
    ElementTree.fromstring(files["svg"])
    assert files == again


def test_inlined_colours_follow_the_page_and_ids_are_its_own():
    text = inline_svg(draw_files(SHOWN)["svg"].decode(), "f7", SHOWN.alt)
    ElementTree.fromstring(text)
    assert re.findall(r"#[0-9a-f]{6}\b", text) == []
    assert "var(--text)" in text
    assert all(name.startswith("f7-") for name in re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(re.findall(r' id="([^"]+)"', text))


def test_csv_is_unscaled():
    rows = format_csv(SHOWN.columns, SHOWN.rows()).splitlines()
    assert rows[0] == "series,kind,density,accuracy,low,high"
    assert rows[1] == "dense,level,1.0,0.92,0.91,0.93"
    assert rows[4] == "published,hollow,0.1,0.85,,"


def test_looks_differ_for_many_methods():
    styles = [get_style(number) for number in range(-1, 40)]
    assert len(set(styles)) == len(styles)


def test_a_method_s_colour_is_its_own_whatever_else_is_shown():
    alone = assign_styles({"a": "mine topology"})["a"]
    beside = assign_styles(
        {name: name for name in ("dense", "er", "erk", "erk rigl", "erk set", "snip", "mine topology")}
    )
    assert get_style(alone).colour == get_style(beside["mine topology"]).colour
    assert len({get_style(number).colour for name, number in beside.items() if not name.startswith("mine")}) == 6


def test_names_of_one_method_share_its_colour_and_differ_otherwise():
    styles = assign_styles(
        {"0.1": "erk", "0.05": "erk", "slow": "erk interval=100 (never moved)", "d": "dense", "e": "dense"}
    )
    looks = {name: get_style(number) for name, number in styles.items()}
    assert looks["0.1"].colour == looks["0.05"].colour == looks["slow"].colour != looks["d"].colour
    assert looks["d"].colour == looks["e"].colour
    assert len({(look.colour, look.mark, look.dash) for look in looks.values()}) == 5
