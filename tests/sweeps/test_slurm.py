"""SLURM, through submitit's own stand-ins for a cluster."""

from __future__ import annotations

import pytest

from rarefy.paths import RunPaths
from rarefy.sweeps import EXECUTORS, RunState, sweep
from rarefy.sweeps.slurm import CheckpointedJob

submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install rarefy[slurm]")
pytestmark = pytest.mark.filterwarnings("ignore")  # submitit's own


def test_what_slurm_is_asked_for():
    executor = EXECUTORS.parse("slurm:partition=long:timeout_min=600:mem_gb=8:threads=2")
    assert executor._parameters(1) == {
        "name": "rarefy",
        "cpus_per_task": 2,
        "gpus_per_node": 1,
        "timeout_min": 600,
        "mem_gb": 8.0,
        "slurm_partition": "long",
    }
    assert EXECUTORS.build("slurm", gpus=0)._parameters(1)["gpus_per_node"] == 0


def test_a_job_that_is_preempted_is_queued_again_as_it_was(runs, job_of):
    job = job_of(runs(1)[0])
    again = CheckpointedJob().checkpoint(job)
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.args == (job,)
    assert again.result().kind == "done"
    assert RunPaths(job.folder).record.is_file()


def test_jobs_are_processes_of_their_own(runs, tmp_path):
    executor = EXECUTORS.build("slurm", cluster="local", workers=1, logs=str(tmp_path / "logs"))
    (status,) = sweep(runs(1), executor, out=tmp_path / "runs")
    assert status.state is RunState.DONE
    assert list((tmp_path / "logs").glob("*submitted.pkl")), "submitit's scripts are where they were wanted"


@pytest.mark.slow
def test_asked_to_stop_its_jobs_save(longer, tmp_path):
    going = []

    def show(statuses):
        going[:] = [status for status in statuses if status.state is RunState.RUNNING and status.epoch > 3]

    executor = EXECUTORS.build("slurm", cluster="local", workers=1)
    (status,) = sweep(longer(1, epochs=100000), executor, out=tmp_path, show=show, should_stop=lambda: bool(going))
    assert status.state is RunState.STOPPED
    assert status.paths.checkpoint.is_file()
