"""One description, two back ends: what is live and what is on paper show the same points."""

from __future__ import annotations

import itertools
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
    draw_panels,
    fit_axis,
    get_style,
    inline_svg,
    share_heights,
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
    assert "<b>" not in inline_svg(draw_files(SHOWN)["svg"].decode(), "f0", SHOWN)


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
    text = inline_svg(draw_files(SHOWN)["svg"].decode(), "f7", SHOWN)
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


def test_series_of_an_inlined_figure_have_a_class_and_their_points_have_titles():
    """Every kind of mark: points of a line, sized dots, bars and cells."""
    kinds = {
        "line": {},
        "dots": {"sizes": (0.2, 0.8)},
        "bars": {"sizes": (0.4, 0.4)},
        "cells": {"sizes": (0.5, 1.0), "texts": ("", "")},
    }
    series = tuple(
        Series(kind, at, (0.2, 0.8), (float(at), at + 1.0), tips=(f"{kind} <1>", f"{kind} 2"), kind=kind, **more)
        for at, (kind, more) in enumerate(kinds.items())
    )
    figure = Figure("f", "Title", Axis("x", "x", span=(0.0, 1.0)), Axis("y", "y", span=(-1.0, 6.0)), series)
    text = inline_svg(draw_files(figure, ("svg",))["svg"].decode(), "f0", figure)
    for at, kind in enumerate(kinds):
        assert f'<g class="s{at}">' in text
        assert text.count(f"<title>{kind} ") == 2, kind
    assert "<title>line &lt;1&gt;</title>" in text
    assert text.count('<g class="legend">') == 1


@pytest.mark.parametrize("count", [10, 21, 56, 112, 300])
@pytest.mark.parametrize("width", [560, 1120])
def test_names_below_an_axis_neither_overlap_nor_are_cut_off(count, width):
    """As matplotlib itself measures them once the drawing is laid out."""
    names = tuple(f"layer{at % 3}.{at}.shortcut" for at in range(count))
    x = Axis("layer", "layer", span=(0.0, count + 1.0), ticks=tuple(at + 1.0 for at in range(count)), texts=names)
    series = (Series("erk", 0, x.ticks, tuple(0.5 for _ in names)),)
    drawing = matplotlib_figure.Figure(figsize=(width / 100, 4.2), layout="constrained")
    axes = drawing.add_subplot()
    draw_on_axes(axes, Figure("f", "Layers", x, Axis("weights kept, %", "density"), series))
    drawing.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert len(boxes) >= min(count, width // 20), "no more is left out than has to be"
    assert all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))
    whole = drawing.bbox
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 for box in boxes)


def test_a_legend_of_long_names_is_within_the_drawing():
    names = [f"ERK scaling=supar, density {number}%" for number in range(5)]
    series = tuple(Series(name, style, (1.0, 2.0), (1.0, 2.0)) for style, name in enumerate(names))
    figures = [Figure(name, name, Axis("x", "x"), Axis("y", "y"), series) for name in "ab"]
    text = draw_panels(figures, ("svg",))["svg"].decode()
    width = float(re.findall(r'viewBox="0 0 (\S+)', text)[0])
    starts = [float(start) for start in re.findall(r'<text[^>]* x="([^"]+)"[^>]*>ERK', text)]
    assert len(starts) == len(names)
    assert all(start > 0 and start + 4 * len(names[0]) < width for start in starts), "letters of 8 points are 4 wide"


def test_panels_share_heights_and_one_legend():
    """Three figures in one row: the part of the title that all share is left out, each method is said once."""
    x, heights = Axis("density", "density", span=(0.0, 1.0)), ((0.1, 0.2), (0.8, 0.9), (0.4, 0.5))
    figures = share_heights(
        [
            Figure(
                f"f{at}",
                f"Accuracy: Net-{at}",
                x,
                fit_axis("accuracy, %", "accuracy", y, scale=100.0),
                (Series("ERK", 0, (0.2, 0.5), y),),
            )
            for at, y in enumerate(heights)
        ]
    )
    assert len({figure.y.span for figure in figures}) == 1
    assert figures[0].y.span == pytest.approx((0.095, 0.905))
    text = draw_panels(figures, ("svg",))["svg"].decode()
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert [shown.count(f"Net-{at}") for at in range(3)] == [1, 1, 1]
    assert (shown.count("ERK"), shown.count("accuracy, %"), shown.count("density")) == (1, 1, 3)
    assert draw_panels(figures, ("svg",))["svg"].decode() == text
