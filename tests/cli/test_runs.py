"""``rarefy runs``: a line a record."""

from __future__ import annotations


def test_a_line_a_run(rarefy, train, tmp_path):
    names = [train(f"-q --seed {seed} --sparse --fix --density 0.25").out.split("/")[-1].strip() for seed in (1, 2)]
    done = rarefy("runs", tmp_path / "runs")
    assert done.code == 0
    header, *lines = [line.split() for line in done.out.splitlines() if line.strip()]
    assert header[0] == "run"
    assert sorted(line[0] for line in lines) == sorted(names)
    for line in lines:
        # 3 * 4 * 4 * 8 + 8 * 3 = 408 weights, a quarter of them kept
        assert line[1:7] == ["synthetic", "mlp_8", "erk", "static", "25.00%", "102"]
    assert {line[7] for line in lines} == {"1", "2"}


def test_no_runs_yet_says_how_to_make_one(rarefy, tmp_path):
    done = rarefy("runs", tmp_path)
    assert done.code == 0
    assert "No finished runs" in done.out
    assert "rarefy train" in done.out


def test_a_folder_that_is_not_there_is_a_sentence(rarefy, tmp_path):
    assert "There is no folder" in rarefy("runs", tmp_path / "none").sentence


def test_a_damaged_record_is_a_sentence(rarefy, tmp_path):
    (tmp_path / "3f2a").mkdir()
    (tmp_path / "3f2a" / "record.json").write_text("{")
    assert "is damaged" in rarefy("runs", tmp_path).sentence
