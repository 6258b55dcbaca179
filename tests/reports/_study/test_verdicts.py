"""Verdicts as tables."""

from __future__ import annotations

import dataclasses

from rarefy.reports._evaluation._blocks import Note
from rarefy.reports._study._blocks import Fold, Sheet
from rarefy.reports._study._study import Judged
from rarefy.reports._study.verdicts import verdicts


def test_counts_a_table_and_the_notes(study):
    count, accuracy, note = verdicts(study).blocks
    assert isinstance(count, Sheet)
    assert isinstance(accuracy, Fold)
    assert count.table.texts == [["accuracy, margin 0.5 points", "0", "5", "0"]]
    texts = {row[0]: row for row in accuracy.blocks[0].table.texts}
    assert texts["erk 0.1 cifar_resnet_20_16"] == [
        *("erk 0.1 cifar_resnet_20_16", "dense cifar_resnet_20_16", "3", "88.00 ± 2.48", "-4.00 ± 2.00"),
        *("no", "4", "Because."),
    ]
    assert texts["dense cifar_resnet_20_16"][4:] == ["–"] * 4  # noqa: RUF001
    assert note == Note("A note.")


def test_without_a_margin_there_is_no_verdict(study):
    loss = Judged("loss", points=False, margin=None, rows=study.judged[0].rows)
    count, _, others, _ = verdicts(dataclasses.replace(study, judged=(*study.judged, loss))).blocks
    assert len(count.table.rows) == 1
    assert [column.head for column in others.blocks[0].table.columns] == [
        "group",
        "baseline",
        "seeds",
        "mean",
        "difference",
    ]


def test_nothing_to_compare_leaves_the_reason(study):
    assert verdicts(dataclasses.replace(study, judged=(), notes=("No dense.",))).blocks == [Note("No dense.")]
