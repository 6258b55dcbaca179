"""Processes on this machine."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from rarefy.config import run_id
from rarefy.paths import RunPaths
from rarefy.registry import UnknownOption
from rarefy.run import is_held
from rarefy.sweeps import EXECUTORS, State, sweep
from rarefy.sweeps.local import MOST_WORKERS, cores


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("options", "count", "accelerated", "expected"),
    [
        ({"workers": 3, "threads": 2}, 9, False, (3, 2)),
        ({"workers": 1}, 9, False, (1, cores())),
        ({"workers": 10 * cores()}, 9, False, (10 * cores(), 1)),
        ({}, 1, False, (1, cores())),
        ({}, 1000, False, (min(cores(), MOST_WORKERS), max(1, cores() // min(cores(), MOST_WORKERS)))),
        ({}, 1000, True, (1, cores())),
    ],
    ids=str,
)
def test_workers_share_the_cores(options, count, accelerated, expected):
    with EXECUTORS.build("local", **options)(count, accelerated=accelerated) as pool:
        assert (pool.slots, pool.threads) == expected


@pytest.mark.parametrize("options", [{"workers": 0}, {"threads": -1}], ids=str)
def test_numbers_are_checked(options):
    with pytest.raises(UnknownOption, match="at least 1"):
        EXECUTORS.build("local", **options)


def test_a_killed_process_is_a_failure_that_names_memory_and_the_sweep_goes_on(runs, tmp_path):
    killed = []

    def kill_once(statuses):
        log = statuses[0].paths.log
        if not killed and statuses[0].state is State.RUNNING and log.is_file() and "starting run" in log.read_text():
            killed.append(pid := holder(statuses[0].run.id))
            os.kill(pid, signal.SIGKILL)

    wanted = [slowed(run) if index == 0 else run for index, run in enumerate(runs(2))]
    first, second = sweep(wanted, EXECUTORS.build("local", workers=1), out=tmp_path, show=kill_once)
    assert len(killed) == 1
    assert (first.state, second.state) == (State.FAILED, State.DONE)
    assert first.words == "Its process was killed by SIGKILL, as the system does when memory runs out."


def test_leaving_the_pool_leaves_no_process_and_a_stop_saves(runs, job_of):
    job = job_of(slowed(runs(1)[0]))
    paths = RunPaths(job.folder)
    with EXECUTORS.build("local", workers=2)(1) as pool:
        process = pool.submit(job)
        wait_for(lambda: paths.history.is_file() and paths.history.read_text())
        pid = holder(job.folder.name)
        process.stop()
        assert wait_for(process.poll).kind == "stopped"
        assert process.poll().kind == "stopped", "it can be asked again"
        assert paths.checkpoint.is_file()
        again = pool.submit(job)
        wait_for(lambda: is_held(paths))
        assert again.poll() is None
    assert not is_held(paths)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are told apart by ps")
def test_a_worker_ends_when_its_sweep_is_killed(runs, job_of):
    job = job_of(slowed(runs(1)[0]))
    paths = RunPaths(job.folder)
    code = f"""
import pathlib, time
from pathlib import PosixPath
from rarefy.sweeps import EXECUTORS, Job
with EXECUTORS.build("local", workers=1)(1) as pool:
    pool.submit({job!r})
    time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        try:
            wait_for(lambda: paths.history.is_file() and paths.history.read_text())
        finally:
            parent.kill()
    wait_for(lambda: not is_held(paths))
    assert paths.checkpoint.is_file(), "it saved before it left"
    wait_for(lambda: holder(job.folder.name) is None)


def slowed(run):
    """The same with more epochs than anybody waits for."""
    training = run.config.training.model_copy(update={"epochs": 100000})
    config = run.config.model_copy(update={"training": training})
    return dataclasses.replace(run, id=run_id(config), config=config)


def holder(run):
    """The process that works on a run."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    found = [line.split()[0] for line in listed.splitlines() if "rarefy.sweeps._worker" in line and run in line]
    return int(found[0]) if found else None
