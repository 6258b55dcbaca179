"""``rarefy runs``: a line a record."""

from __future__ import annotations

import csv
import datetime
import json
import shutil

import pytest

from rarefy.cli.runs import DEFAULT, choose_columns
from rarefy.records import Params, Record, Timing, read, write


def test_a_line_a_run(rarefy, train, tmp_path):
    names = [train(f"-q --seed {seed} --sparse --fix --density 0.25").out.split("/")[-1].strip() for seed in (1, 2)]
    done = rarefy("runs", tmp_path / "runs")
    assert done.code == 0
    header, *lines = [line.split() for line in done.out.splitlines() if line.strip()]
    assert header[0] == "run"
    assert sorted(line[0] for line in lines) == sorted(names)
    for line in lines:
        assert line[1] == f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        # 3 * 4 * 4 * 8 + 8 * 3 = 408 weights, a quarter of them kept
        assert line[3:9] == ["synthetic", "mlp_8", "erk", "static", "25.00%", "102"]
    assert {line[9] for line in lines} == {"1", "2"}


def test_a_run_has_the_name_it_was_given(rarefy, train, tmp_path):
    flags = ("--seed 1 --name first", "--seed 2")
    named, unnamed = (train(f"-q {words}").out.strip().split("/")[-1] for words in flags)
    header, *lines = rarefy("runs --sort seed", tmp_path / "runs").out.splitlines()
    assert header.split()[:3] == ["run", "name", "date"]
    assert lines[0].split()[:2] == [named, "first"]
    assert rarefy("runs --where name=first --columns id", tmp_path / "runs").out.split() == ["id", named]
    assert read(tmp_path / "runs" / unnamed).name == ""


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (160, "run date data model allocation topology density kept seed epochs test disk"),
        (80, "run date model allocation density seed test"),
        (40, "run model density test"),
    ],
)
def test_a_narrow_terminal_shows_the_columns_that_fit(width, shown):
    row = {"run": "3f2a9c1b77de", "name": "", "date": "2026-11-29 10:00", "data": "cifar10", "model": "resnet_20"}
    row |= {"allocation": "erk", "topology": "static", "density": "10.00%", "kept": "27,090", "seed": "17"}
    row |= {"epochs": "160", "test": "91.23%", "disk": "123.4kB"}
    names = list(DEFAULT)
    assert [names[index] for index in choose_columns(names, [list(row.values())], width)] == shown.split()
    assert choose_columns(["id", "kept"], [["a" * 50, "b" * 50]], 20) == [0, 1], "what was asked for is shown"


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs' records, as a training would have left them."""
    root = tmp_path_factory.mktemp("some") / "runs"
    for name, density, accuracy in (("aa", 0.05, 0.7), ("bb", 0.05, 0.9), ("cc", 0.1, 0.8)):
        config = {"model": "mlp_8", "density": density, "seed": int(name, 16)}
        metrics = {"test": {"accuracy": accuracy, "loss": 1.0}}
        params = Params(total=100, kept=int(100 * density), all=110)
        timing = Timing(seconds_per_epoch=1, data_seconds=0, images_per_second=9, peak_memory_bytes=None)
        record = Record(
            id=name, created="2026-01-01", config=config, versions={}, environment={}, layers=(), density=density,
            params=params, masks={}, engine={}, history=(), selected_epoch=1, metrics=metrics, timing=timing, files={},
        )  # fmt: skip
        write(record, root / name / "record.json")
    return root


def test_filtered_sorted_and_by_columns(rarefy, folder):
    done = rarefy("runs", folder, "--where", "density=0.05", "--where", "accuracy>0.6", "--sort", "-accuracy",
                  "--columns", "id,model,density,seed,accuracy,lr,clip_norm")  # fmt: skip
    lines = [line.split() for line in done.out.splitlines() if line.strip()]
    assert lines == [
        ["id", "model", "density", "seed", "accuracy", "lr", "clip_norm"],
        ["bb", "mlp_8", "5.00%", "187", "90.00%", "0.1", "-"],
        ["aa", "mlp_8", "5.00%", "170", "70.00%", "0.1", "-"],
    ]


def test_csv_has_the_record_s_own_numbers(rarefy, folder, tmp_path):
    file = tmp_path / "deep" / "table.csv"
    done = rarefy("runs", folder, "--columns", "id,accuracy,sparse", "--sort", "accuracy", "--csv", file)
    assert file.read_text() == "id,accuracy,sparse\naa,0.7,true\ncc,0.8,true\nbb,0.9,true\n"
    assert f"written: {file}" in done.out.replace("\n", "")
    assert "90.00%" in done.out


def test_csv_on_the_standard_output_is_alone(rarefy, folder):
    assert rarefy("runs", folder, "--columns=id,kept", "--csv", "-").out == "id,kept\naa,5\nbb,5\ncc,10\n"
    assert rarefy("runs", folder, "--columns=id", "--where=seed=1", "--csv=-").out == "id\n"
    assert rarefy("runs", folder, "--csv=-").out.splitlines()[:2] == [
        "run,name,date,data,model,allocation,topology,density,kept,seed,epochs,test,disk",
        "aa,,2026-01-01,digits,mlp_8,erk,static,0.05,5,170,160,0.7,",
    ]


def test_a_run_that_is_found_twice_is_one_line(rarefy, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    done = rarefy("runs", folder, folder / "bb", tmp_path / "copy", "--columns=id", "--csv=-")
    assert done.out.split() == ["id", "aa", "bb", "cc"]


def test_nothing_that_meets_the_conditions_is_said(rarefy, folder):
    done = rarefy("runs", folder, "--where", "accuracy>0.95")
    assert done.code == 0
    assert "None of the 3 finished runs" in done.out


def test_a_name_that_nobody_knows_is_a_sentence(rarefy, folder):
    assert "Did you mean 'accuracy'?" in rarefy("runs", folder, "--where", "acuracy>0.8").sentence
    assert "Did you mean 'density'?" in rarefy("runs", folder, "--columns", "densty").sentence
    assert "Did you mean 'seed'?" in rarefy("runs", folder, "--sort", "-sed").sentence
    assert "is not a condition" in rarefy("runs", folder, "--where", "density").sentence


def test_a_record_cannot_speak_to_the_terminal(rarefy, folder, tmp_path):
    values = json.loads((folder / "aa" / "record.json").read_text())
    values |= {"id": "\x1b[2Jevil", "engine": {"name": "=cmd|' /C calc'!A0"}}
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "record.json").write_text(json.dumps(values))
    for more in ((), ("--csv", "-"), ("--where", "\x1b[2Jx=1")):
        done = rarefy("runs --columns id,engine.name,accuracy", tmp_path, *more)
        assert "\x1b" not in done.out + done.err
    done = rarefy("runs --columns id,record.engine.name,accuracy --csv", tmp_path / "table.csv", tmp_path)
    assert done.code == 0
    (row,) = list(csv.reader((tmp_path / "table.csv").read_text().splitlines()[1:]))
    assert row[1].startswith("'=cmd")


def test_one_damaged_record_hides_no_other(rarefy, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    (tmp_path / "runs" / "bb" / "record.json").write_text("{")
    done = rarefy("runs --columns id", tmp_path / "runs")
    assert (done.code, done.out.split()) == (0, ["id", "aa", "cc"])
    assert str(tmp_path / "runs" / "bb" / "record.json") in done.err
    assert "Traceback" not in done.err
