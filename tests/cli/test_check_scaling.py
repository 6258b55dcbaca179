"""rarefy check-scaling: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv

import pytest

from rarefy.cli import main

QUICK = ["--quiet", "--steps", "1", "--seeds", "1"]


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["check-scaling", *words])
    return int(done.value.code or 0)


def test_it_prints_slopes_and_writes_sizes_and_a_figure(tmp_path, capsys) -> None:
    files = ["--csv", str(tmp_path / "sizes.csv"), "--figure", str(tmp_path / "check.svg")]
    assert call("mlp_64_64", "--optimizer", "sgd", "--exclude", "fc3", "--densities", "1,1/4", *QUICK, *files) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["fc1", "fc2"]
    with (tmp_path / "sizes.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert {(row["scaling"], row["density"], row["layer"]) for row in rows} == {
        (scaling, density, layer)
        for scaling in ("none", "supar")
        for density in ("1.0", "0.25")
        for layer in ("fc1", "fc2")
    }
    assert (tmp_path / "check.svg").read_text().count("supar") == 1


def test_widths_have_a_table_of_their_own(capsys) -> None:
    assert call("mlp_16_16", "--scalings", "mup", "--densities", "1", "--widths", "16,32", *QUICK) == 0
    assert "slopes with width" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [("--optimizer", "adagrad"), ("--densities", "much"), ("--densities", "2"), ("--widths", "0.5"),
     ("--scalings", "mu"), ("--figure", "check.gif"), ("--exclude", "nothing*")],
)  # fmt: skip
def test_a_mistake_is_one_sentence(words, capsys) -> None:
    assert call("mlp_8_8", *QUICK, *words) == 2
    assert capsys.readouterr().err.startswith("rarefy: ")
