from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_numbers_by_source_and_score(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    page = show(runs)
    assert page.raw.count('<th scope="rowgroup" rowspan="4">svhn</th>') == 4, "a source is said once a table"
    for title, name in (("AUROC", "auroc"), ("FPR95", "fpr95"), ("AUPR-in", "aupr_in"), ("AUPR-out", "aupr_out")):
        rows = page.table(f"{title} by source and score")
        assert rows[0][:4] == ["source", "run", "max_softmax", "energy"], "the maximum softmax is first"
        assert len(rows) == 1 + 4 * 4
        for row in rows[1:]:
            run = next(run for run in runs if f"{run.name}, seed {run.record['config']['seed']}" == row[1])
            scores = run.record["metrics"]["test"]["ood"][row[0]]["scores"]
            assert row[2:] == [f"{100 * scores[score][name]:.2f}%" for score in rows[0][2:]]
    written = {(row["id"], row["source"], row["score"]): row for row in sheet("ood")}
    assert len(written) == 4 * 4 * 7
    found = runs[3].record["metrics"]["test"]["ood"]["svhn"]["scores"]["odin"]
    assert float(written["dead00000018", "svhn", "odin"]["aupr_out"]) == found["aupr_out"]
    assert written["dead00000018", "svhn", "odin"]["images"] == "1083"


def test_a_curve_a_source_score_and_name(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    for run, middle in zip(runs, (0.7, 0.8, 0.6, 0.9), strict=True):
        for source in run.record["metrics"]["test"]["ood"].values():
            source["roc_fpr"] = [0.0, 0.5, 1.0]
            for score in source["scores"].values():
                score["roc"] = [0.0, middle, 1.0]
    page = show(runs)
    curves = [line for line in page.traces() if (line["x"], line["y"]) == ([0.0, 50.0, 100.0], [0.0, 75.0, 100.0])]
    assert len(curves) == 2 * 4 * 7, "the mean over the two runs of each name"
    assert {line["name"] for line in curves} == {"dense, mean of 2 runs", "erk 0.1, mean of 2 runs"}
    rows = [row for row in sheet("roc") if (row["id"], row["source"], row["score"]) == ("beef00000017", "svhn", "knn")]
    assert [(row["fpr"], row["tpr"]) for row in rows] == [("0.0", "0.0"), ("0.5", "0.7"), ("1.0", "1.0")]
    assert page.raw.index("svhn, max_softmax") < page.raw.index("ROC curves of the other scores")
    assert page.raw.index("svhn, knn") > page.raw.index("ROC curves of the other scores")


def test_pictures_are_in_the_page_and_explained(runs: list[EvaluatedRun], show: Show) -> None:
    page = show(runs)
    pictures = page.all("img")
    assert len(pictures) == 2 * 4
    content = base64.b64decode(pictures[0]["src"].removeprefix("data:image/png;base64,"))
    assert content == (runs[0].folder / "examples" / "cifar100_detected.png").read_bytes()
    assert pictures[1]["alt"] == "Up to 8 images of cifar100 that dense, seed 17 mistook for images of its own kind"
    assert "Images detected and missed by dense, seed 17" in page.text
    assert "missed by dense, seed 18" not in page.text


def test_no_pictures_is_said_and_what_is_no_picture_is_left_out(runs: list[EvaluatedRun], show: Show) -> None:
    assert "There are no pictures of detected and missed images" in show(runs[1:]).text
    for path in (runs[0].folder / "examples").iterdir():
        path.write_text("<svg onload='alert(1)'>")
    assert show(runs).all("img") == []


def test_runs_may_have_other_sources_and_scores(runs: list[EvaluatedRun], show: Show) -> None:
    first, second = (run.record["metrics"]["test"]["ood"] for run in runs[:2])
    del first["svhn"], second["cifar100"]["scores"]["knn"]
    rows = show(runs[:2]).table("AUROC by source and score")
    assert [row[:2] for row in rows if row[0] == "svhn"] == [["svhn", "dense, seed 18"]]
    assert rows[2][rows[0].index("knn")] == "–"  # noqa: RUF001


def test_a_score_that_was_left_out_says_why(runs: list[EvaluatedRun], show: Show) -> None:
    found = runs[0].record["metrics"]["test"]["ood"]["svhn"]
    del found["scores"]["knn"]
    found["left_out"] = {"knn": "It needs 50 images & 33 came."}
    assert "knn was left out. It needs 50 images & 33 came." in " ".join(show(runs[:1]).texts)
