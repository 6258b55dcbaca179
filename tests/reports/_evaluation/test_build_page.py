"""The page as a whole: one file that needs nothing, the same every time, whatever a record lacks."""

from __future__ import annotations

import copy
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rarefy.reports import Evaluated, ReportError, render_evaluation
from rarefy.reports._evaluation._build_page import SECTIONS
from rarefy.reports._evaluation._runs import named

ANCHORS = ["runs", "accuracy", "calibration", "ood", "attacks", "corruptions", "cost", "flow", "how"]
Make = Callable[..., dict[str, Any]]
Show = Callable[..., Any]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_every_section_is_there_and_can_be_reached(runs: list[Evaluated], show: Show) -> None:
    page = show(runs)
    assert [section["id"] for section in page.all("section")] == ANCHORS
    assert [link["href"] for link in page.all("a")][: len(ANCHORS)] == [f"#{anchor}" for anchor in ANCHORS]
    assert page.text.startswith("Evaluation of dense (2 runs) and erk 0.1 (2 runs)")


def test_it_asks_nobody_for_anything(runs: list[Evaluated], show: Show) -> None:
    page = show(runs)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base", "form"} == set()
    targets = [v for _, values in page.tags for name, v in values.items() if name in ("src", "href", "xlink:href")]
    assert all(re.fullmatch(r"#[a-z]+|evaluation/[a-z_]+\.csv|data:image/png;base64,[\w+/=]+", v) for v in targets)
    assert "http" not in page.raw
    assert "url(" not in page.raw
    assert "@import" not in page.raw


def test_links_lead_to_files_and_every_file_is_linked(runs: list[Evaluated], show: Show, tmp_path: Path) -> None:
    linked = {link["href"] for link in show(runs).all("a") if link["href"].endswith(".csv")}
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out" / "evaluation").iterdir()}
    assert linked == files


def test_whatever_is_drawn_is_said_and_every_id_is_there_once(runs: list[Evaluated], show: Show) -> None:
    page = show(runs)
    drawings = [svg for svg in page.all("svg") if svg.get("class") != "swatch"]
    assert len(drawings) > 20
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 30 for svg in drawings)
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(page.tables)
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(ids) == len(set(ids))
    numbers = "".join(f"{v}" for tag, values in page.tags if tag in ("circle", "rect", "path") for v in values.values())
    assert not re.search(r"nan|inf\b|None", numbers)


def test_light_dark_and_paper(runs: list[Evaluated], show: Show) -> None:
    raw = show(runs).raw
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in raw
    dark = raw[raw.index("prefers-color-scheme: dark") : raw.index("* { box-sizing")]
    light = raw[raw.index(":root") : raw.index("prefers-color-scheme: dark")]
    assert re.findall(r"--\w+(?=:)", dark) == re.findall(r"--\w+(?=:)", light), "every colour has its dark twin"
    assert "@media print" in raw
    assert re.search(r'(fill|stroke)="', raw) is None, "a colour in a drawing would not follow the page's"


def test_same_records_same_bytes_and_untouched(runs: list[Evaluated], tmp_path: Path) -> None:
    before = copy.deepcopy([run.record for run in runs])
    again = [Evaluated(json.loads(json.dumps(run.record)), run.folder, run.name) for run in runs]
    first, second = tmp_path / "a" / "evaluation.html", tmp_path / "b" / "evaluation.html"
    written = render_evaluation(runs, first)
    render_evaluation(again, second)
    assert contents(first.parent) == contents(second.parent)
    assert [run.record for run in runs] == before
    assert written[0] == first
    assert set(written) == {path for path in first.parent.rglob("*") if path.is_file()}


def test_names_are_only_text(make: Make, show: Show, sheet: Callable[..., Any]) -> None:
    evil = '<script>alert("1")</script>&"\''
    record = make()
    test = record["metrics"]["test"]
    record["config"]["model"]["name"] = evil
    test["class_names"][0] = evil
    test["ood"] = {evil: test["ood"]["svhn"]}
    test["attacks"] = {evil: test["attacks"]["fgsm"]}
    test["corruptions"]["errors"] = {evil: [0.1] * 5}
    test[evil] = 0.5
    page = show([Evaluated(record, Path("nowhere"), evil)])
    assert page.all("script") == []
    assert page.raw.count("<script>") == 0
    assert page.table("What was run")[1][2] == evil
    assert sheet("ood")[0]["source"] == evil


@pytest.mark.parametrize("bare", [{"accuracy": 0.625, "loss": 1.25}, {}])
def test_missing_parts_are_said_in_a_line(bare: dict[str, float], make: Make, show: Show, tmp_path: Path) -> None:
    record = make() | {"metrics": {"test": bare}, "history": []}
    text = show([Evaluated(record, tmp_path, "dense")]).text
    for flags in ("", " --calibration", " --ood cifar100,svhn", " --attack fgsm,pgd", " --corruptions", " --cost"):
        assert f"Not computed; rarefy eval RUN{flags} adds it." in text
    assert text.count("Not computed;") == 7
    assert "rarefy train --diagnostics" in text
    assert [path.name for path in (tmp_path / "out" / "evaluation").iterdir()].count("ood.csv") == 0


def test_who_lacks_a_part_is_named(runs: list[Evaluated], show: Show) -> None:
    del runs[1].record["metrics"]["test"]["corruptions"], runs[3].record["metrics"]["test"]["corruptions"]
    text = show(runs).text
    assert "Not computed for dense, seed 18, erk 0.1, seed 18; rarefy eval RUN --corruptions adds it." in text
    assert text.count("Not computed") == 1


def small(record: dict[str, Any]) -> dict[str, Any]:
    """One of everything that there may be many of, so that each can be taken away."""
    test = record["metrics"]["test"]
    for part, kept in (("ood", "svhn"), ("attacks", "pgd"), ("robust_curve", "fgsm")):
        test[part] = {kept: test[part][kept]}
    scores = test["ood"]["svhn"]["scores"]
    test["ood"]["svhn"]["scores"] = {name: scores[name] for name in ("max_softmax", "odin")}
    test["corruptions"]["errors"] = {"fog": [0.1] * 5}
    for layers in (test["cost"]["flops"], *test["flow"]["gradient_norm"].values()):
        layers["layers"] = {"fc.weight": layers["layers"]["fc.weight"]}
    test["flow"] |= {"hessian": {"eigenvalue": 3.0}, "landscape": {"at": [-1, 0, 1], "loss": [1.0, 0.5, 1.0]}}
    return record


def places(values: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items() if isinstance(values, dict) else ():
        yield (*path, name)
        yield from places(value, (*path, name))


def test_nothing_but_the_id_has_to_be_there(make: Make) -> None:
    whole = small(make())
    for path in list(places(whole)):
        if path in (("id",), ("metrics",), ("metrics", "test")):
            continue
        record = copy.deepcopy(whole)
        at = record
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = None
        for section in SECTIONS:
            assert section(named([record, whole], [Path("a"), Path("b")], ["x", "y"])).title, path


def test_seeds_share_a_colour_and_labels_differ(make: Make, show: Show) -> None:
    same = make(17) | {"id": "cafe"}
    found = [Evaluated(record, Path("x"), "dense") for record in (make(17), same, make(18))]
    rows = show([*found, Evaluated(make(17, 0.1), Path("x"), "erk")]).table("What was run")
    assert [row[0] for row in rows[1:]] == [
        "dense, seed 17 (beef00000017)",
        "dense, seed 17 (cafe)",
        "dense, seed 18",
        "erk",
    ]
    assert [run.group for run in named([make()] * 3, [Path("x")] * 3, ["a", "b", "a"])] == [0, 1, 0]


def test_one_name_needs_no_legend(runs: list[Evaluated], show: Show) -> None:
    assert 'class="legend"' not in show(runs[:1]).raw
    assert show(runs).raw.count('class="legend"') == 6


def test_numbers_of_an_earlier_page_do_not_stay(runs: list[Evaluated], show: Show, tmp_path: Path) -> None:
    show(runs)
    (tmp_path / "out" / "evaluation" / "mine.csv").write_text("kept")
    for run in runs:
        del run.record["metrics"]["test"]["ood"]
    show(runs)
    names = {path.name for path in (tmp_path / "out" / "evaluation").iterdir()}
    assert {"ood.csv", "roc.csv"} & names == set()
    assert {"mine.csv", "attacks.csv"} <= names


def test_a_failure_leaves_the_old_page(runs: list[Evaluated], tmp_path: Path) -> None:
    page = tmp_path / "out" / "evaluation.html"
    render_evaluation(runs, page)
    before = contents(page.parent)
    runs[0].record["metrics"]["test"]["confusion"] = "damaged"
    with pytest.raises(TypeError):
        render_evaluation(runs, page)
    assert contents(page.parent) == before


def test_a_folder_with_odd_letters(runs: list[Evaluated], tmp_path: Path) -> None:
    page = tmp_path / "10% & more.html"
    render_evaluation(runs[:1], page)
    assert (tmp_path / "10% & more" / "runs.csv").is_file()
    assert 'href="10%25%20%26%20more/runs.csv"' in page.read_text("utf-8")


def test_what_cannot_be_shown_is_named(make: Make, tmp_path: Path) -> None:
    page = tmp_path / "evaluation.html"
    with pytest.raises(ReportError, match="no runs to show"):
        render_evaluation([], page)
    twice = [Evaluated(make(), tmp_path, name) for name in "ab"]
    with pytest.raises(ReportError, match="More than one record has the id beef00000017"):
        render_evaluation(twice, page)
    with pytest.raises(ReportError, match=r"record of 'a' in .* has no id or no metrics"):
        render_evaluation([Evaluated({"id": "a", "metrics": {}}, tmp_path, "a")], page)
    with pytest.raises(ReportError, match="has no suffix"):
        render_evaluation(twice[:1], tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


def test_every_sheet_is_a_table_of_its_columns(runs: list[Evaluated], show: Show, tmp_path: Path) -> None:
    show(runs)
    for path in (tmp_path / "out" / "evaluation").iterdir():
        head, *rows = csv.reader(path.read_text("utf-8").splitlines())
        assert head[:2] == ["name", "id"], path
        assert {len(row) for row in rows} == {len(head)}, path
