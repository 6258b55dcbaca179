"""Verdicts as tables."""

from __future__ import annotations

import dataclasses

from rarefy.reports import MetricVerdicts
from rarefy.reports.pages import Fold, Note, Table
from rarefy.reports.study.verdicts import build_section


def test_counts_a_table_and_the_notes(study):
    count, accuracy, note = build_section(study).blocks
    assert isinstance(count, Table)
    assert isinstance(accuracy, Fold)
    assert count.texts == [["Accuracy, margin 0.5 points", "0", "5", "0"]]
    rows = [[str(cell) for cell in row] for row in accuracy.blocks[0].texts]
    texts = {tuple(row[:3]): row[3:] for row in rows}
    network = "cifar_resnet_20_16 on cifar10"
    assert texts[network, "erk", "10%"] == ["3", "88.00 ± 2.48", "-4.00 ± 2.00", "no", "4"]
    assert texts[network, "dense", "100%"][2:] == ["–"] * 3  # noqa: RUF001
    assert note == Note("A note.")


def test_without_a_margin_there_is_no_verdict(study):
    loss = MetricVerdicts("loss", points=False, margin=None, rows=study.verdicts[0].rows)
    count, _, others, _ = build_section(dataclasses.replace(study, verdicts=(*study.verdicts, loss))).blocks
    assert len(count.rows) == 1
    assert [column.head for column in others.blocks[0].columns] == [
        "network",
        "method",
        "density",
        "seeds",
        "mean",
        "difference",
    ]


def test_nothing_to_compare_leaves_the_reason(study):
    assert build_section(dataclasses.replace(study, verdicts=(), notes=("No dense.",))).blocks == [Note("No dense.")]
