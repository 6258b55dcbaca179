"""Published numbers: read, and refused with the line."""

from __future__ import annotations

import pytest

from rarefy.reports import PublishedResult, ReportError, read_published

HEAD = "model,data,allocation,topology,density,metric,value,std,certainty,source,note\n"


def test_rows_are_read_and_empty_values_left_out(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(
        HEAD + 'cifar_resnet_20,cifar10,ERK,static,0.1,accuracy,0.8779,,sure,"Liu, 2022",~\n'
        "cifar_resnet_20,cifar10,dense,,,accuracy,0.9237,0.0022,,,\nvgg16,cifar10,erk,static,0.1,accuracy,,,,,\n"
    )
    assert read_published(path) == [
        PublishedResult(
            "cifar_resnet_20", "cifar10", "erk", "static", 0.1, "accuracy", 0.8779, None, "sure", "Liu, 2022", "~"
        ),
        PublishedResult("cifar_resnet_20", "cifar10", "dense", "static", 1.0, "accuracy", 0.9237, 0.0022),
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("m,d,erk,static,0.1,accuracy,87.79", "line 2: the accuracy 87.79 is not in"),
        ("m,d,erk,static,90,accuracy,0.8", "line 2: the density 90 is not in"),
        ("m,d,erk,static,0.1,accuracy,high", "line 2: the value cannot be 'high'"),
        ("m,d,erk,static,,accuracy,0.8", "line 2: the density cannot be ''"),
        ("m,d,erk,static,0.1,accuracy,0.8,nan", "line 2: the std cannot be 'nan'"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(row, told, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(f"{HEAD}{row}\n")
    with pytest.raises(ReportError, match=told):
        read_published(path)


def test_a_missing_file_and_missing_columns(tmp_path):
    with pytest.raises(ReportError, match="There is no file"):
        read_published(tmp_path / "none.csv")
    (tmp_path / "some.csv").write_text("model,data\n")
    with pytest.raises(ReportError, match="has no column allocation, topology, density, metric, value"):
        read_published(tmp_path / "some.csv")
