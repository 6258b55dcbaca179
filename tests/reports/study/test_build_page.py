"""The page as a whole and its files; figures are drawn by a stand-in, which is quick."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import re
import urllib.parse

import pytest

from rarefy.reports import ReportError, RunGroup, SeedSummary, Study, render_report
from rarefy.reports.pages import _write_page


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, in order; every one has to be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


pytestmark = pytest.mark.usefixtures("quick_pages")


@pytest.fixture
def page(tmp_path):
    return tmp_path / "out" / "report.html"


def read(page):
    return Reader(page.read_text("utf-8"))


def test_every_section_is_there_and_can_be_reached(study, page):
    render_report(study, page)
    found = read(page)
    anchors = [section["id"] for section in found.all("section")]
    assert anchors == [
        "answer",
        "accuracy",
        "verdicts",
        "gap",
        "layers",
        "calibration",
        "ood",
        "attacks",
        "flow",
        "missing",
        "runs",
    ]
    links = [link["href"] for link in found.all("a")]
    assert links[: len(anchors) + 1] == ["#main", *(f"#{anchor}" for anchor in anchors)]
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_links_lead_to_files_and_every_file_is_linked(study, page):
    written = render_report(study, page)
    linked = {urllib.parse.unquote(link["href"]) for link in read(page).all("a")}
    files = {path.relative_to(page.parent).as_posix() for path in written[1:]}
    assert {link for link in linked if not link.startswith("#")} == files - {"report_files/missing.yaml"}
    assert all(path.is_file() for path in written)
    assert {path.suffix for path in written[1:]} == {".png", ".pdf", ".svg", ".csv", ".tex", ".md", ".yaml"}


def test_it_needs_nothing_else_and_says_so_to_the_browser(study, page):
    render_report(study, page)
    found = read(page)
    assert {tag for tag, _ in found.tags} & {"link", "iframe", "object", "base", "form", "img"} == set()
    assert all("src" not in script for script in found.all("script"))
    (policy,) = [meta["content"] for meta in found.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_all_that_is_read_by_ear_is_there(study, page):
    render_report(study, page)
    found = read(page)
    assert all(head["scope"] in ("col", "row", "rowgroup") for head in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert len(found.all("legend")) == len(found.all("fieldset")) == len(found.all("figure"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in found.all("svg"))
    assert found.all("html")[0]["lang"] == "en"


def test_what_came_from_records_is_only_text(study, page):
    evil = '</script><script>alert("1")</script>&'
    group = dataclasses.replace(study.groups[0], network=evil, model=evil, method=evil)
    sparse = dataclasses.replace(study.groups[2], network=evil, method=evil)
    note = dataclasses.replace(study, groups=(group, sparse), notes=(evil,), published=())
    render_report(note, page)
    found = read(page)
    assert len([script for script in found.all("script") if script.get("type") is None]) == 1
    assert evil in found.texts


def test_same_study_same_bytes(study, tmp_path):
    pages = [tmp_path / name / "report.html" for name in "ab"]
    contents = []
    for page in pages:
        written = render_report(dataclasses.replace(study, files=""), page)
        contents.append({path.relative_to(page.parent).as_posix(): path.read_bytes() for path in written})
    first, second = (
        found.pop("report.html").replace(str(tmp_path / name).encode(), b"")
        for found, name in zip(contents, "ab", strict=True)
    )
    assert first == second
    assert contents[0] == contents[1]


def test_files_of_an_earlier_report_go_and_a_user_s_stay(study, page):
    render_report(study, page)
    folder = page.parent / "report_files"
    (folder / "mine.csv").write_text("kept")
    assert (folder / "gap-By-depth-cifar_resnet-width-16-cifar10-density-0.5.csv").is_file()
    render_report(dataclasses.replace(study, groups=study.groups[:2]), page)
    assert list(folder.glob("gap-*")) == []
    assert (folder / "mine.csv").read_text() == "kept"


def test_a_failure_leaves_the_old_page(study, page, monkeypatch):
    render_report(study, page)
    before = {path: path.read_bytes() for path in page.parent.rglob("*.*") if path.is_file()}

    def broken(figure, formats):
        raise RuntimeError("no ink")

    monkeypatch.setattr(_write_page, "draw_files", broken)
    with pytest.raises(RuntimeError):
        render_report(study, page)
    assert {path: path.read_bytes() for path in page.parent.rglob("*.*") if path.is_file()} == before


def test_progress_rises_to_one(study, page):
    told = []
    render_report(study, page, progress=lambda what, share: told.append(share))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


def test_names_that_make_one_file_name_are_kept_apart(study, page):
    sample = SeedSummary((0.1,), 0.1)
    twins = {"accuracy": sample, "attacks.pgd:a.robust": sample, "attacks.pgd-a.robust": sample}
    render_report(dataclasses.replace(study, groups=(dataclasses.replace(study.groups[0], numbers=twins),)), page)
    assert len(list((page.parent / "report_files").glob("attacks*.png"))) == 2


def test_what_cannot_be_shown_is_named(study, tmp_path):
    with pytest.raises(ReportError, match="There are no runs to show"):
        render_report(Study((), ()), tmp_path / "report.html")
    with pytest.raises(ReportError, match="has no suffix"):
        render_report(study, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_one_bare_run_is_enough(page):
    record = {"id": "3f2a", "config": {"seed": 17}, "layers": [], "history": [], "metrics": {"test": {}}}
    group = RunGroup("dense", "p", "dense", "digits", "mlp_16", records=(record,), folders=("runs/3f2a",))
    render_report(Study((group,), (), ("There is no dense group.",)), page)
    text = " ".join(read(page).texts)
    assert "1 finished in 1 group " in text
    assert not re.search(r"\bNone\b|\bnan\b", text)


def test_every_csv_is_a_table_of_its_columns(study, page):
    render_report(study, page)
    for path in (page.parent / "report_files").glob("*.csv"):
        head, *rows = csv.reader(path.read_text("utf-8").splitlines())
        assert len(set(head)) == len(head), path
        assert {len(row) for row in rows} == {len(head)}, path
