"""``rarefy sweep``: what it lists, trains and says."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from typing import ClassVar

import pytest
import yaml
from rich.console import Console

from rarefy.cli._sweep import SweepProgress, compute_progress, format_counts, overview
from rarefy.config import Config
from rarefy.paths import RunPaths, find_run_folders
from rarefy.records import read, read_sweep_plans
from rarefy.sweeps import EXECUTORS, JobResult, RunState, Status, SweepRun, run_job


@dataclasses.dataclass(frozen=True)
class Here:
    """Trains in this process; seed 13 has bad luck."""

    workers: int | None = None
    threads: int | None = None
    is_remote: ClassVar[bool] = False

    @contextlib.contextmanager
    def __call__(self, count, *, accelerated=False):
        yield self

    slots = 1

    def submit(self, job):
        end = (
            JobResult("failed", "OSError: bad luck")
            if job.values["seed"] == 13
            else run_job(dataclasses.replace(job, threads=1))
        )
        return type("Ended", (), {"poll": lambda self: end, "stop": lambda self: None})()


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setitem(EXECUTORS._methods, "here", ("here", Here))


@pytest.fixture
def write(tmp_path, tiny_run):
    def to_file(**parts):
        path = tmp_path / "sweep.yaml"
        parts = {"base": tiny_run, "grid": {"density": [0.5, 0.25], "seed": [1]}, **parts}
        path.write_text(yaml.safe_dump(parts, sort_keys=False))
        return path

    return to_file


@pytest.fixture
def file(write):
    return write()


def test_a_dry_run_lists_what_is_missing_and_trains_nothing(rarefy, file, tmp_path):
    done = rarefy("sweep", file, "--dry-run", "--out", tmp_path / "runs")
    assert done.code == 0
    assert [line.split()[1:4] for line in done.out.splitlines()[1:3]] == [
        ["density=0.5", "waiting", "0/2"],
        ["density=0.25", "waiting", "0/2"],
    ]
    assert "0 of 2 done, 2 waiting; nothing was started" in done.out
    assert not (tmp_path / "runs").exists()


def test_it_trains_what_is_missing_and_says_so_line_by_line(rarefy, here, file, tmp_path):
    done = rarefy("sweep --executor here", file, "--out", tmp_path / "runs")
    assert done.code == 0
    assert "0 of 2 done, 2 waiting" in done.out
    assert "density=0.5  done  accuracy" in done.out
    assert "2 of 2 done; records in" in done.out
    (plan,) = read_sweep_plans(tmp_path / "runs")
    assert (plan.name, len(plan.runs)) == (file.stem, 2)
    again = rarefy("sweep --executor here --dry-run", file, "--out", tmp_path / "runs")
    assert "2 of 2 done" in again.out
    listed = rarefy("runs", tmp_path / "runs").out
    assert "50.00%" in listed
    assert "25.00%" in listed


def test_a_failure_is_code_1_with_its_last_words(rarefy, here, file, tmp_path):
    done = rarefy(
        "sweep --executor here -q --retry 1 --set seed=13 --set density=0.5", file, "--out", tmp_path / "runs"
    )
    assert done.code == 1
    assert "OSError: bad luck" in done.out
    assert "failure.txt" in done.out


def test_a_warning_of_several_runs_is_told_once(rarefy, here, write, tmp_path, tiny_run):
    file = write(base=tiny_run | {"topology": {"name": "rigl", "interval": 1000}, "fix": False}, grid={"seed": [1, 2]})
    done = rarefy("sweep --executor here -q", file, "--out", tmp_path / "runs")
    assert done.code == 0
    (line,) = done.out.replace("\n", " ").split("note: ")[1:]
    assert "1000" in line
    assert all(folder.name in line for folder in find_run_folders(tmp_path / "runs"))


def test_failures_that_are_alike_are_told_once(rarefy, here, file, tmp_path):
    done = rarefy("sweep --executor here -q --set seed=13", file, "--out", tmp_path / "runs")
    assert done.code == 1
    (line,) = done.out.replace("\n", " ").split("failed: ")[1:]
    assert "density=0.5 and 1 more: OSError: bad luck" in line


def test_a_dry_run_shows_what_the_file_says_of_itself(rarefy, write, tmp_path):
    file = write(about={"title": "Two densities", "cost": {"minutes": 1}}, evaluate={"calibration": True})
    done = rarefy("sweep --dry-run", file, "--out", tmp_path / "runs")
    assert "title: Two densities\ncost:\n  minutes: 1\nevaluate:\n  calibration: true\n" in done.out


def test_finished_runs_are_evaluated_as_the_file_wants_and_not_twice(rarefy, here, write, tmp_path):
    file, out = write(evaluate={"calibration": True, "attack": ["fgsm"], "attack-images": 8}), tmp_path / "runs"
    done = rarefy("sweep --executor here", file, "--out", out)
    assert done.code == 0
    assert "page:" in done.out
    assert (out / "evaluation.html").is_file()
    for record in (read(folder) for folder in find_run_folders(out)):
        assert record.metrics["test"]["evaluated"]["attacks fgsm"]["options"]["images"] == 8
        assert "calibration" in record.metrics["test"]
    again = rarefy("sweep --executor here", file, "--out", out)
    assert again.out.count("already known") == done.out.count("% of all")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"calibratio": True}, "Did you mean 'calibration'?"),
        ({"calibration": "yes"}, "evaluate.calibration cannot be 'yes'"),
        ({"attack-images": 0}, "evaluate.attack-images cannot be 0"),
        ({"ood": True}, "evaluate.ood cannot be True"),
        ({"attack": "fgms"}, "Did you mean 'fgsm'?"),
        ({"ood": ["nowhere"]}, "Unknown source of out-of-distribution images 'nowhere'"),
    ],
    ids=str,
)
def test_an_evaluation_that_cannot_be_is_said_before_anything_is_trained(rarefy, write, tmp_path, wanted, told):
    assert told in rarefy("sweep", write(evaluate=wanted), "--out", tmp_path / "runs").sentence
    assert not (tmp_path / "runs").exists()


def test_set_goes_over_the_file(rarefy, file, tmp_path):
    done = rarefy("sweep --dry-run --set epoch=7 --set density=0.1", file, "--out", tmp_path / "runs")
    assert done.out.count("0/7") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--executor lokal", "Unknown executor 'lokal'. Did you mean 'local'?"),
        ("--executor local:nodes=2", "has no option 'nodes'"),
        ("--set densty=1", "Did you mean 'density'?"),
        ("--scale smoke", "has no scales"),
    ],
)
def test_mistakes_are_sentences(rarefy, file, tmp_path, words, told):
    assert told in rarefy(f"sweep {words}", file, "--out", tmp_path / "runs").sentence
    assert not (tmp_path / "runs").exists()


def test_no_file_is_a_sentence(rarefy, tmp_path):
    assert "There is no sweep file" in rarefy("sweep", tmp_path / "none.yaml").sentence


def statuses(*states, **values):
    runs = [SweepRun(f"{number:012x}", Config(), {"seed": number}) for number in range(len(states))]
    return [Status(run, RunPaths(None), RunState(state), **values) for run, state in zip(runs, states, strict=True)]


def test_counts_and_time_left():
    result = statuses("done", "running", "running", "waiting", seconds_per_epoch=2.0)
    for status, epoch in zip(result, (160, 100, 130, 0), strict=True):
        status.epoch = epoch
    # 60 + 30 + 160 epochs of 2 s, by two at a time
    assert format_counts(result) == "1 of 4 done, 2 running, 1 waiting; about 4:10 left"
    assert format_counts(statuses("waiting", "failed")) == "0 of 2 done, 1 waiting, 1 failed"


def test_a_terminal_has_a_live_table_that_fits():
    screen = Console(force_terminal=True, color_system=None, width=100, height=13, highlight=False, markup=False)
    with screen.capture() as shown, SweepProgress(screen) as show:
        show(statuses(*["done"] * 20, "failed", *["running"] * 2, *["waiting"] * 20, message="why"))
    text = shown.get()
    lines = {line.split()[0]: line.split()[2] for line in text.splitlines() if line.startswith("0000")}
    assert sorted(lines.values()) == ["done"] * 2 + ["failed"] + ["running"] * 2 + ["waiting"] * 3
    assert list(lines)[:2] == [f"{18:012x}", f"{19:012x}"], "of what is done, the last; of what waits, the next"
    assert any(line.startswith("20 of 43 done") for line in text.splitlines()), "on a line of its own"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_table_fits_and_no_id_is_broken(width):
    screen = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=width, highlight=False)
    screen.print(overview(statuses("done", "failed", "running", message="a long story about what went wrong"), width))
    text = screen.file.getvalue()
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if line.startswith("0000")] == [f"{number:012x}" for number in range(3)]
    assert "\x1b[32mdone" in text
    assert "\x1b[1;31mfailed" in text


def test_progress_counts_epochs_and_finished_runs_whole():
    first, second = statuses("running", "failed")
    first.epoch = first.epochs // 4
    assert compute_progress([first, second]) == (first.epoch + second.epochs) / (first.epochs + second.epochs)
    assert compute_progress([]) == 0


def test_more_at_work_than_a_screen_has_lines():
    screen = Console(force_terminal=True, width=100, height=3, highlight=False, markup=False)
    with screen.capture() as shown, SweepProgress(screen) as show:
        show(statuses(*["running"] * 9))
    assert "0 of 9 done, 9 running" in shown.get()


def test_settings_with_brackets_are_printed_as_they_are(capsys):
    run = SweepRun("0" * 12, Config(), {"data.x": "[b]"})
    Console(width=160, markup=False).print(overview([Status(run, RunPaths(None))], 160))
    assert "data.x=[b]" in capsys.readouterr().out
