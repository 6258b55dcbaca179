"""What was run: counts by hand."""

from __future__ import annotations

from rarefy.reports.pages import Facts, Fold, Table
from rarefy.reports.study.runs import build_section


def test_counts_time_and_versions(study):
    facts, networks, fold = build_section(study).blocks
    assert isinstance(facts, Facts)
    assert dict(facts.pairs) == {
        "runs": "21 finished in 7 groups and 1 without a record",
        "data": "cifar10",
        "models": "cifar_resnet_20_16, cifar_resnet_56_16",
        "methods": "dense, erk, uniform",
        "densities": "10%, 50%",
        "seeds": "17, 18, 19",
        "engines": "masked",
        "machines": "x86_64, 1 thread",
        "versions": "rarefy 0.1.0; torch 2.13.0; python 3.11.7",
        "training time": "21.0 hours, all runs together",  # 21 runs of 2 epochs of half an hour
    }
    assert isinstance(networks, Table)
    assert networks.texts[0] == [
        *(
            "cifar_resnet_20_16 on cifar10",
            "200",
            "dense, erk, uniform",
            "10%, 50%, 100%",
            "4",
            "12",
            "3",
            "2",
            "12.0 hours",
        ),
    ]
    assert isinstance(fold, Fold)
    assert len(fold.blocks[0].rows) == 21
