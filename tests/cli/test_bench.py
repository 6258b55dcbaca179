"""``rarefy bench``: the table of engines."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = pytest.mark.kernels
MLP = "bench --model mlp_64 --density 0.1 --size 4 --batches 1,8 --rounds 1"


def lines(text: str, what: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.startswith(what)]


def test_every_engine_has_its_line(rarefy):
    done = rarefy(MLP)
    assert done.code == 0
    assert [(row[1], row[2]) for row in lines(done.out, "training")] == [("8", e) for e in ("dense", "masked", "cpu")]
    expected = [(batch, engine) for batch in ("1", "8") for engine in ("dense", "masked", "cpu")]
    assert [(row[1], row[2]) for row in lines(done.out, "inference")] == expected
    assert "mlp_64, erk, density 9.99%" in done.out  # 371 of 3712
    assert "100%  done" in done.out


def test_json_holds_the_numbers(rarefy, tmp_path):
    assert "100%  done" not in rarefy(f"{MLP} --quiet", "--json", tmp_path / "bench.json").out
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["config"]["model"]["name"] == "mlp_64"
    assert content["kept"] == round(0.1 * content["total"]) == round(0.1 * (48 * 64 + 64 * 10))
    assert content["layers"] == {"fc1.weight": "sparse", "fc2.weight": "sparse"}
    biases, per = 64 + 10, 3 * 4  # parameter, gradient and momentum of four bytes each
    assert content["weight_bytes"]["dense"] == content["weight_bytes"]["masked"] == per * (content["total"] + biases)
    assert content["weight_bytes"]["cpu"] >= per * (content["kept"] + biases) + 4 * content["kept"]
    for timing in content["timings"]:
        assert timing["milliseconds"] > 0
        assert timing["limit_share"] > 0
        assert timing["engine"] != "dense" or timing["speedup"] == 1


@pytest.mark.slow
def test_a_pattern_is_drawn_and_named(rarefy, tmp_path):
    done = rarefy(f"{MLP} --pattern out8 --quiet", "--json", tmp_path / "bench.json")
    assert done.code == 0
    assert "mlp_64, erk, out8, density 9.99%" in done.out
    assert json.loads((tmp_path / "bench.json").read_text())["config"]["pattern"] == "out8"


def test_a_finished_run_is_timed_as_it_was_saved(rarefy, train, tmp_path):
    train("--sparse --density 0.2 --topology set --update-frequency 2", "--quiet")
    (folder,) = (tmp_path / "runs").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done = rarefy(f"bench {folder} --batches 4 --rounds 1 --quiet")
    assert done.code == 0
    assert "mlp_8, erk, density 20" in done.out
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_profile_has_a_row_per_kind_and_layer(rarefy, tmp_path):
    done = rarefy(
        "bench --model mlp_64 --density 0.1 --size 4 --batches 8 --rounds 1 --profile", "--csv", tmp_path / "p.csv"
    )
    assert done.code == 0
    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    assert rows[0][:4] == ["layer", "kind", "milliseconds", "share"]
    assert {"fc1", "fc2", ""} <= {row[0] for row in rows[1:]}
    assert sum(float(row[3]) for row in rows[1:]) == pytest.approx(1)
    assert all(lines(done.out, kind) for kind in ("forward", "weight gradient", "optimizer", "Python"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("bench", "either the folder of a finished run or a --model"),
        ("bench runs --model mlp_8", "not both"),
        ("bench --model mlp_8 --batches 1,two", "--batches cannot be '1,two'"),
        ("bench --model mlp_8 --batches 0", "--batches cannot be '0'"),
        ("bench --model nothing", "Unknown model 'nothing'"),
        ("bench nowhere", "nowhere"),
        ("bench --model mlp_8 --batches 1,2 --profile", "one batch size"),
        ("bench --model mlp_8 --profile --distributed", "--profile"),
    ],
)
def test_mistakes_are_sentences(rarefy, words, told):
    assert told in rarefy(words).sentence


def test_without_numba_it_says_what_to_install(rarefy, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "pip install numba" in rarefy(MLP).sentence
