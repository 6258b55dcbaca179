"""The loop, on an executor that ends attempts as a test says."""

from __future__ import annotations

import pytest

from rarefy.config import Config
from rarefy.paths import RunPaths
from rarefy.pipeline import run
from rarefy.pipeline._folder import claim_folder
from rarefy.sweeps import JobResult, RunState, read_statuses, sweep


def trained(job, attempt=1):
    run(Config.from_values(job.values), out=job.folder.parent)
    return JobResult("done")


def states(statuses):
    return [status.state.value for status in statuses]


def test_what_is_missing_is_trained_and_no_more_at_once_than_there_is_room_for(runs, scripted, tmp_path):
    wanted = runs(5)
    run(wanted[1].config, out=tmp_path)
    executor = scripted(trained)
    statuses = sweep(wanted, executor, out=tmp_path)
    assert states(statuses) == ["done"] * 5
    assert sorted(job.folder.name for job in executor.jobs) == sorted(w.id for w in wanted if w is not wanted[1])
    assert executor.at_once == 2
    assert all(status.accuracy is not None and status.epoch == 2 for status in statuses)
    again = scripted(trained)
    assert states(sweep(wanted, again, out=tmp_path)) == ["done"] * 5
    assert again.jobs == []


def test_a_failure_is_marked_with_its_last_words_and_the_rest_goes_on(runs, scripted, tmp_path):
    wanted = runs(3)

    def script(job, attempt):
        bad = job.folder.name == wanted[0].id
        return JobResult("failed", "Traceback\nMemoryError: no room\n") if bad else trained(job)

    statuses = sweep(wanted, scripted(script), out=tmp_path)
    assert states(statuses) == ["failed", "done", "done"]
    assert statuses[0].message == "MemoryError: no room"
    assert RunPaths(tmp_path / wanted[0].id).failure.read_text() == "Traceback\nMemoryError: no room\n"
    assert read_statuses(wanted, tmp_path)[0].message == "MemoryError: no room", "the next sweep remembers"


def test_last_words_that_cannot_be_written_stop_nothing(runs, scripted, tmp_path):
    wanted = runs(2)
    RunPaths(tmp_path / wanted[0].id).failure.mkdir(parents=True)  # as on a full disk: nothing can be written there

    def script(job, attempt):
        return JobResult("failed", "OSError: full") if job.folder.name == wanted[0].id else trained(job)

    statuses = sweep(wanted, scripted(script), out=tmp_path)
    assert states(statuses) == ["failed", "done"]
    assert statuses[0].message == "OSError: full"


@pytest.mark.parametrize(("retry", "state"), [(0, "failed"), (1, "failed"), (2, "done"), (5, "done")])
def test_retry(runs, scripted, tmp_path, retry, state):
    executor = scripted(lambda job, attempt: trained(job) if attempt == 3 else JobResult("failed", "killed"))
    (status,) = sweep(runs(1), executor, out=tmp_path, retry=retry)
    assert status.state.value == state
    assert len(executor.jobs) == min(retry + 1, 3)
    assert status.paths.failure.exists() == (state == "failed")


def test_an_end_without_a_record_is_a_failure(runs, scripted, tmp_path):
    (status,) = sweep(runs(1), scripted(lambda job, attempt: JobResult("done")), out=tmp_path)
    assert (status.state, status.message) == (RunState.FAILED, "It ended without an error, but there is no record.")


def test_one_that_somebody_else_stopped_is_a_failure_not_a_success(runs, scripted, tmp_path):
    (status,) = sweep(runs(1), scripted(lambda job, attempt: JobResult("stopped", "was asked to")), out=tmp_path)
    assert (status.state, status.message) == (RunState.FAILED, "was asked to")


def test_a_record_counts_more_than_its_process_s_death(runs, scripted, tmp_path):
    def script(job, attempt):
        trained(job)
        return JobResult("failed", "killed as it was leaving")

    assert states(sweep(runs(1), scripted(script), out=tmp_path)) == ["done"]


def test_a_damaged_record_is_a_failure_that_says_so(runs, scripted, tmp_path):
    def script(job, attempt):
        trained(job)
        (job.folder / "record.json").write_text("{")
        return JobResult("done")

    (status,) = sweep(runs(1), scripted(script), out=tmp_path)
    assert status.state is RunState.FAILED
    assert "is damaged" in status.message


def test_a_run_that_another_process_trains_is_waited_for(runs, scripted, tmp_path):
    wanted, seen = runs(2), []
    executor = scripted(trained)
    held = claim_folder(RunPaths(tmp_path / wanted[0].id))
    held.__enter__()

    def show(statuses):
        seen.append(states(statuses))
        if len(seen) == 8:  # the other process finishes its run
            held.__exit__(None, None, None)
            run(wanted[0].config, out=tmp_path)

    assert states(sweep(wanted, executor, out=tmp_path, show=show)) == ["done", "done"]
    assert [job.folder.name for job in executor.jobs] == [wanted[1].id], "never started here"
    assert ["elsewhere", "done"] in seen


def test_a_run_whose_other_process_dies_is_taken_over(runs, scripted, tmp_path):
    wanted, seen = runs(1), []
    executor = scripted(trained)
    held = claim_folder(RunPaths(tmp_path / wanted[0].id))
    held.__enter__()

    def show(statuses):
        seen.append(states(statuses))
        if len(seen) == 4:
            held.__exit__(None, None, None)

    assert states(sweep(wanted, executor, out=tmp_path, show=show)) == ["done"]
    assert len(executor.jobs) == 1


def test_losing_the_race_for_a_run_is_no_failure_and_costs_no_attempt(runs, scripted, tmp_path):
    executor = scripted(lambda job, attempt: JobResult("held", "another has it") if attempt < 3 else trained(job))
    (status,) = sweep(runs(1), executor, out=tmp_path, retry=0)
    assert (status.state, status.attempts) == (RunState.DONE, 1)


def test_asked_to_stop_it_stops_what_runs_and_starts_nothing(runs, scripted, tmp_path):
    asked = iter([False, False, True, True, True])
    executor = scripted(lambda job, attempt: None)
    statuses = sweep(runs(4), executor, out=tmp_path, should_stop=lambda: next(asked))
    assert states(statuses) == ["stopped", "stopped", "waiting", "waiting"]
    assert len(executor.jobs) == 2
    assert executor.stopped == [job.folder.name for job in executor.jobs]
    assert not statuses[0].paths.failure.exists()


def test_a_job_says_where_in_absolute_paths(runs, scripted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    executor = scripted(trained)
    from pathlib import Path

    sweep(runs(1), executor, out=Path("here"), data_dir=Path("there"), checkpoint_seconds=3.0)
    (job,) = executor.jobs
    assert job.folder.parent == tmp_path / "here"
    assert job.data_dir == tmp_path / "there"
    assert job.checkpoint_seconds == 3.0
