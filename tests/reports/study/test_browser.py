"""The page in a real browser: it draws, it answers, it asks nobody for anything."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from rarefy.reports import render_report

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("study_browser", HERE / "browser.py")
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)

pytestmark = [
    pytest.mark.skipif(not module.PROGRAM, reason="needs a browser: apt install chromium"),
    pytest.mark.timeout(600),  # figures and a browser on a busy machine
]

FIRST = "document.querySelector('figure[id]')"
SEEN = f"{FIRST}.querySelector('.live').data.filter(t => t.meta.series === 1).map(t => t.visible)"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with module.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report & more.html"
    groups = (group for group in study.groups if (group.depth, group.density) != (56, 0.5))
    few = tuple(dataclasses.replace(group, numbers={"accuracy": group.numbers["accuracy"]}) for group in groups)
    render_report(dataclasses.replace(study, groups=few), path)
    return path


def test_it_draws_answers_and_asks_nobody(window, page):
    window.open(page)
    window.wait(f"{FIRST}.classList.contains('drawn') && {FIRST}.querySelectorAll('.live .trace').length >= 5")
    names = window.run(f"{FIRST}.querySelector('.live').data.filter(t => t.meta.part === 'line').map(t => t.name)")
    assert names == ["dense", "erk", "uniform", "dense, published", "erk, published"]

    # every figure can be drawn, also those that are folded away or far below
    window.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    window.run("document.querySelectorAll('figure[id]').forEach(figure => figure.scrollIntoView())")
    window.run("new Promise(done => setTimeout(done, 200))")
    for number in range(window.run("document.querySelectorAll('figure[id]').length")):
        window.run(f"document.querySelectorAll('figure[id]')[{number}].scrollIntoView()")
        window.wait(f"document.querySelectorAll('figure[id]')[{number}].querySelector('.live .trace') !== null")

    # a box is reached and ticked with the keyboard, and takes its line and its band away
    window.run(f"{FIRST}.querySelector('input[data-series=\"1\"]').focus()")
    assert window.run(SEEN) == [True, True]
    window.press(" ", 32)
    window.wait(f"JSON.stringify({SEEN}) === '[false,false]'")
    window.press(" ", 32)
    window.wait(f"JSON.stringify({SEEN}) === '[true,true]'")

    assert window.complaints == []
    assert [url for url in window.requests if not url.startswith(("file://", "data:", "blob:"))] == []
    assert [url for url in window.requests if url.startswith("file://")] == [page.as_uri()]


def test_dark_is_dark_and_a_telephone_needs_no_scrolling_aside(window, page):
    window.open(page, width=400, scheme="dark")
    window.wait(f"{FIRST}.querySelector('.live .trace') !== null || ({FIRST}.scrollIntoView(), false)")
    assert window.run("document.documentElement.scrollWidth") <= 400
    assert window.run(f"{FIRST}.querySelector('.live').layout.font.color") == "#e6e8ea"
    dark = window.run(f"{FIRST}.querySelector('.live').data[1].line.color")
    window.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    window.wait(f"{FIRST}.querySelector('.live').layout.font.color === '#1c2024'")
    assert window.run(f"{FIRST}.querySelector('.live').data[1].line.color") != dark
    assert window.complaints == []


def test_on_paper_and_without_scripts_the_static_figures_are_seen(window, page):
    window.open(page)
    window.wait(f"{FIRST}.querySelector('.live .trace') !== null || ({FIRST}.scrollIntoView(), false)")
    window.ask("Emulation.setEmulatedMedia", media="print")
    style = f"getComputedStyle({FIRST}.querySelector('%s')).%s"
    assert window.run(style % (".live", "display")) == "none"
    assert window.run(style % (".static", "visibility")) == "visible"
    window.ask("Emulation.setEmulatedMedia", media="")
    window.ask("Emulation.setScriptExecutionDisabled", value=True)
    window.ask("Page.navigate", url=page.as_uri())
    window.wait("document.readyState === 'complete'")
    assert window.run("document.documentElement.classList.contains('js')") is False
    assert window.run(style % (".static", "visibility")) == "visible"
    assert window.run(f"{FIRST}.querySelector('.static svg').getBoundingClientRect().height") > 100
