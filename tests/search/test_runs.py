"""The search over runs: which runs it asks for, and what it takes from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rarefy.config import Config
from rarefy.search import (
    SearchError,
    SearchRuns,
    SearchUpdate,
    SweepOptions,
    TrialSpec,
    search_runs,
    spaced_densities,
    write_page,
)
from rarefy.search._runs import RunTimes
from rarefy.sweeps import Status, SweepRun
from rarefy.training import Interrupted

TINY = Config.from_values(
    {
        "data": {"name": "synthetic", "height": 4, "width": 4, "classes": 3, "train": 32, "validation": 64, "test": 64},
        "model": "mlp_16",
        "topology": "static",
        "engine": "masked",
        "device": "cpu",
        "training": {"epochs": 4, "batch_size": 16, "warmup_epochs": 2},
    }
)
SEEDS = (17, 18, 19)


def runs_in(folder: Path, executor: Any, **options: Any) -> SearchRuns:
    return SearchRuns(TINY, SweepOptions(executor, out=folder / "runs", data_dir=folder), **options)


def test_runs_differ_in_density_seed_and_length_alone(pretender):
    runs = SearchRuns(TINY, SweepOptions(pretender()))
    short, full, dense = (
        runs.resolve_run(TrialSpec(*at)).config for at in ((0.2, 3, 0.5), (0.2, 3, 1.0), (1.0, 3, 1.0))
    )
    assert (short.density, short.seed, short.training.epochs, short.training.warmup_epochs) == (0.2, 3, 2, 1.0)
    assert (full.training.epochs, full.training.warmup_epochs) == (4, 2.0)
    assert full.model_copy(update={"training": short.training}) == short
    assert (dense.allocation.name, dense.density, dense.topology.name, dense.seed) == ("dense", 1.0, "static", 3)
    assert dense.training == full.training
    assert runs.resolve_run(TrialSpec(0.2, 3, 0.01)).config.training.epochs == 1


@pytest.mark.parametrize("knee", [0.25, 0.088])
def test_a_known_answer_is_found_and_nothing_is_trained_twice(pretender, tmp_path, knee):
    told: list[SearchUpdate] = []
    runs = runs_in(tmp_path, executor := pretender(knee))
    found = search_runs(runs, spaced_densities(), SEEDS, margin=0.005, notice=told.append)
    assert (found.density, found.verdict) == (knee, "yes")
    assert (executor.opened, executor.closed) == (1, 1)
    assert len(executor.jobs) == len(found.evidence) == len({run.id for run in runs.run_by_spec.values()})
    for trial in found.evidence:
        expected = executor.accuracy({"density": trial.density, "seed": trial.seed})
        assert trial.accuracy == pytest.approx(expected if trial.effort == 1 else expected - 0.05)
    assert told[0].step is None
    assert [progress.step for progress in told[1:]] == list(found.steps)
    assert len(executor.jobs) <= told[0].budget.short + told[0].budget.full
    assert all(progress.seconds_left is not None and progress.seconds_left >= 0 for progress in told[1:])

    again = runs_in(tmp_path, other := pretender(knee))
    assert search_runs(again, spaced_densities(), SEEDS, margin=0.005) == found
    assert (other.opened, other.jobs) == (0, [])
    more = search_runs(again, spaced_densities(), (*SEEDS, 20), margin=0.005)
    assert more.density == knee
    assert {(job["seed"], job["training"]["epochs"]) for job in other.jobs} == {(20, 4)}


def test_every_run_is_on_the_page(pretender, tmp_path):
    runs = runs_in(tmp_path, pretender())
    found = search_runs(runs, spaced_densities(0.05), SEEDS, margin=0.005)
    page, *_ = write_page(found, runs, [], tmp_path / "page.html")
    text = page.read_text()
    assert all(run.id in text for run in runs.run_by_spec.values())
    assert "mlp_16 on synthetic: density 0.13 is within 0.5 points of dense</h1>" in text
    assert "seeds 17, 18, 19" in text


def test_a_stopped_search_goes_on(pretender, tmp_path):
    executor = pretender()
    stopped = runs_in(tmp_path, executor, should_stop=lambda: len(executor.jobs) >= 6)
    with pytest.raises(Interrupted, match="stopped"):
        search_runs(stopped, spaced_densities(), SEEDS)
    assert executor.closed == 1
    before = len(list(tmp_path.glob("runs/*/record.json")))
    found = search_runs(runs_in(tmp_path, rest := pretender()), spaced_densities(), SEEDS)
    assert found.density == 0.13
    assert 0 < before == len(found.evidence) - len(rest.jobs)


def test_a_run_that_fails_is_told_with_its_last_words(pretender, tmp_path):
    with pytest.raises(SearchError, match=r"density=0.5 .*failed: OSError: bad luck") as caught:
        search_runs(runs_in(tmp_path, pretender(bad="bad luck")), (0.5,), SEEDS)
    assert "failure.txt" in str(caught.value)


def test_what_cannot_be_searched_is_told_before_anything_is_trained(pretender, tmp_path):
    runs = SearchRuns(TINY.dense(), SweepOptions(executor := pretender(), out=tmp_path))
    with pytest.raises(SearchError, match="no density to look for"):
        search_runs(runs, (0.5,), SEEDS)
    ends_dense = Config.from_values(TINY.model_dump() | {"topology": "sparse_to_dense"})
    with pytest.raises(SearchError, match="'sparse_to_dense' ends with a dense network"):
        search_runs(SearchRuns(ends_dense, SweepOptions(executor, out=tmp_path)), (0.5,), SEEDS)
    with pytest.raises(SearchError, match=r"for 0\.5 points write 0\.005"):
        search_runs(runs, (0.5,), SEEDS, margin=0.5)
    assert executor.jobs == []


def test_pace_by_hand() -> None:
    """Two short runs of 4 epochs in 10 s, of which each trained for 8 s: two at a time, 1 s of each is no training."""
    status = Status(SweepRun("a", TINY), None, epoch=4, seconds_per_epoch=2.0)  # type: ignore[arg-type]
    pace = RunTimes()
    assert pace.estimate(1.0) is None
    pace.add(0.25, 10.0, [])
    assert pace.estimate(1.0) is None
    pace.add(0.25, 10.0, [status, status])
    assert pace.estimate(0.25) == 5.0
    assert pace.estimate(1.0) == pytest.approx((10 + 3 * 16 / 1.6) / 2)
    pace.add(1.0, 30.0, [status])
    assert pace.estimate(1.0) == 30.0
