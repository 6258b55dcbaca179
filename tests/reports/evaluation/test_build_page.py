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

from rarefy.reports import EvaluatedRun, ReportError, render_evaluation
from rarefy.reports.evaluation._build_page import SECTIONS
from rarefy.reports.evaluation._page_runs import label_runs

pytestmark = pytest.mark.usefixtures("quick_pages")

ANCHORS = ["runs", "accuracy", "calibration", "ood", "attacks", "corruptions", "cost", "flow", "how"]
Make = Callable[..., dict[str, Any]]
Show = Callable[..., Any]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_every_section_is_there_and_can_be_reached(runs: list[EvaluatedRun], show: Show) -> None:
    page = show(runs)
    assert [section["id"] for section in page.all("section")] == ANCHORS
    links = [link["href"] for link in page.all("a")]
    assert links[: len(ANCHORS) + 1] == ["#main", *(f"#{anchor}" for anchor in ANCHORS)]
    assert page.text.split("Skip to the content ")[1].startswith("Evaluation of dense (2 runs) and erk 0.1 (2 runs)")


def test_it_asks_nobody_for_anything(runs: list[EvaluatedRun], show: Show) -> None:
    page = show(runs)
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "object", "base", "form"} == set()
    targets = [v for _, values in page.tags for name, v in values.items() if name in ("src", "href", "xlink:href")]
    assert all(re.fullmatch(r"#[a-z]+|evaluation/[a-z_]+\.csv|data:image/png;base64,[\w+/=]+", v) for v in targets)
    assert all("src" not in script for script in page.all("script"))
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "@import" not in page.raw


def test_links_lead_to_files_and_every_file_is_linked(runs: list[EvaluatedRun], show: Show, tmp_path: Path) -> None:
    linked = {link["href"] for link in show(runs).all("a") if link["href"].endswith(".csv")}
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out" / "evaluation").iterdir()}
    assert linked == files - {"evaluation/.files"}


def test_whatever_is_drawn_is_said_and_every_id_is_there_once(runs: list[EvaluatedRun], show: Show) -> None:
    page = show(runs)
    drawings = [svg for svg in page.all("svg") if svg.get("class") != "swatch"]
    assert len(drawings) == len(page.plots) > 20
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 30 for svg in drawings)
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(page.tables)
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(ids) == len(set(ids))
    assert not re.search(r"\b(NaN|Infinity|None)\b", json.dumps(page.plots))


def test_light_dark_and_paper(runs: list[EvaluatedRun], show: Show) -> None:
    raw = show(runs).raw
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in raw
    dark = raw[raw.index("prefers-color-scheme: dark") : raw.index("* { box-sizing")]
    light = raw[raw.index(":root") : raw.index("prefers-color-scheme: dark")]
    assert re.findall(r"--\w+(?=:)", dark) == re.findall(r"--\w+(?=:)", light), "every colour has its dark twin"
    assert "@media print" in raw


def test_same_records_same_bytes_and_untouched(runs: list[EvaluatedRun], tmp_path: Path) -> None:
    before = copy.deepcopy([run.record for run in runs])
    again = [EvaluatedRun(json.loads(json.dumps(run.record)), run.folder, run.name) for run in runs]
    first, second = tmp_path / "a" / "evaluation.html", tmp_path / "b" / "evaluation.html"
    written = render_evaluation(runs, first)
    render_evaluation(again, second)
    assert contents(first.parent) == contents(second.parent)
    assert [run.record for run in runs] == before
    assert written[0] == first
    assert set(written) == {path for path in first.parent.rglob("[!.]*") if path.is_file()}


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
    page = show([EvaluatedRun(record, Path("nowhere"), evil)])
    assert [script.get("id") for script in page.all("script") if script.get("type") != "application/json"] == [
        "plotly",
        None,
    ]
    assert page.raw.count("<script>") == 1
    assert page.table("What was run")[1][2] == evil
    assert sheet("ood")[0]["source"] == evil


@pytest.mark.parametrize("bare", [{"accuracy": 0.625, "loss": 1.25}, {}])
def test_missing_parts_are_said_in_a_line(bare: dict[str, float], make: Make, show: Show, tmp_path: Path) -> None:
    record = make() | {"metrics": {"test": bare}, "history": []}
    text = show([EvaluatedRun(record, tmp_path, "dense")]).text
    for flags in ("", " --calibration", " --ood cifar100,svhn", " --attack fgsm,pgd", " --corruptions", " --cost"):
        assert f"Not computed; rarefy eval RUN{flags} adds it." in text
    assert text.count("Not computed;") == 7
    assert "rarefy train --diagnostics" in text
    assert [path.name for path in (tmp_path / "out" / "evaluation").iterdir()].count("ood.csv") == 0


def test_who_lacks_a_part_is_named(runs: list[EvaluatedRun], show: Show) -> None:
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
            assert section(label_runs([record, whole], [Path("a"), Path("b")], ["x", "y"])).title, path


def test_seeds_share_a_colour_and_labels_differ(make: Make, show: Show) -> None:
    same = make(17) | {"id": "cafe"}
    found = [EvaluatedRun(record, Path("x"), "dense") for record in (make(17), same, make(18))]
    rows = show([*found, EvaluatedRun(make(17, 0.1), Path("x"), "erk")]).table("What was run")
    assert [row[0] for row in rows[1:]] == [
        "dense, seed 17 (beef00000017)",
        "dense, seed 17 (cafe)",
        "dense, seed 18",
        "erk",
    ]
    styles = [run.style for run in label_runs([make()] * 3, [Path("x")] * 3, ["a", "b", "a"])]
    assert styles[0] == styles[2] != styles[1]


def test_a_page_of_one_run_is_small_and_its_points_have_titles(make: Make, tmp_path: Path) -> None:
    """Without Plotly, which takes 2 MB; series can be hidden by their class."""
    page = tmp_path / "evaluation.html"
    render_evaluation([EvaluatedRun(make(), tmp_path, "dense")], page)
    text = page.read_text("utf-8")
    assert 'id="plotly"' not in text
    assert "application/json" not in text
    assert ".s${target.dataset.series}" in text


def test_a_method_has_its_colour_whoever_is_beside_it(make: Make, show: Show) -> None:
    def colours(*kinds: tuple[str, float]) -> dict[str, set[str]]:
        runs = [EvaluatedRun(make(at, density), Path("x"), name) for at, (name, density) in enumerate(kinds)]
        found: dict[str, set[str]] = {}
        for trace in show(runs).traces("line"):
            if trace.get("hoverinfo") != "skip":
                found.setdefault(trace["name"].split(",")[0], set()).add(trace["meta"]["colour"])
        return found

    alone, beside = colours(("erk", 0.1)), colours(("dense", 1.0), ("erk sparse", 0.05), ("erk", 0.1))
    assert alone["erk"] == beside["erk"] == beside["erk sparse"] == {"--c0"}
    assert beside["dense"] == {"--text"}


def test_numbers_of_an_earlier_page_do_not_stay(runs: list[EvaluatedRun], show: Show, tmp_path: Path) -> None:
    show(runs)
    (tmp_path / "out" / "evaluation" / "mine.csv").write_text("kept")
    for run in runs:
        del run.record["metrics"]["test"]["ood"]
    show(runs)
    names = {path.name for path in (tmp_path / "out" / "evaluation").iterdir()}
    assert {"ood.csv", "roc.csv"} & names == set()
    assert {"mine.csv", "attacks.csv"} <= names


def test_a_failure_leaves_the_old_page(runs: list[EvaluatedRun], tmp_path: Path) -> None:
    page = tmp_path / "out" / "evaluation.html"
    render_evaluation(runs, page)
    before = contents(page.parent)
    runs[0].record["metrics"]["test"]["confusion"] = "damaged"
    with pytest.raises(ValueError):
        render_evaluation(runs, page)
    assert contents(page.parent) == before


def test_a_folder_with_odd_letters(runs: list[EvaluatedRun], tmp_path: Path) -> None:
    page = tmp_path / "10% & more.html"
    render_evaluation(runs[:1], page)
    assert (tmp_path / "10% & more" / "runs.csv").is_file()
    assert 'href="10%25%20%26%20more/runs.csv"' in page.read_text("utf-8")


def test_what_cannot_be_shown_is_named(make: Make, tmp_path: Path) -> None:
    page = tmp_path / "evaluation.html"
    with pytest.raises(ReportError, match="no runs to show"):
        render_evaluation([], page)
    twice = [EvaluatedRun(make(), tmp_path, name) for name in "ab"]
    with pytest.raises(ReportError, match="More than one record has the id beef00000017"):
        render_evaluation(twice, page)
    with pytest.raises(ReportError, match=r"record of 'a' in .* has no id or no metrics"):
        render_evaluation([EvaluatedRun({"id": "a", "metrics": {}}, tmp_path, "a")], page)
    with pytest.raises(ReportError, match="has no suffix"):
        render_evaluation(twice[:1], tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


def test_every_sheet_is_a_table_of_its_columns(runs: list[EvaluatedRun], show: Show, tmp_path: Path) -> None:
    show(runs)
    for path in (tmp_path / "out" / "evaluation").glob("*.csv"):
        head, *rows = csv.reader(path.read_text("utf-8").splitlines())
        assert head[:2] == ["name", "id"], path
        assert {len(row) for row in rows} == {len(head)}, path


def test_the_line_below_the_title_says_which_network_seed_and_run(make: Make, show: Show, tmp_path: Path) -> None:
    record = make() | {"created": "2026-11-29T09:53:11+00:00"}
    text = show([EvaluatedRun(record, tmp_path, "dense")]).text
    assert "Evaluation of dense ResNet-20 on CIFAR-10, seed 17, run beef00000017, 29 November 2026" in text
    both = show([EvaluatedRun(make(seed), tmp_path, "dense") for seed in (17, 18)]).text
    assert "Evaluation of dense (2 runs) ResNet-20 on CIFAR-10" in both
    assert "seed 17, run" not in both
