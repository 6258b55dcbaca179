"""Processes on this machine."""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from rarefy.config import compute_run_id
from rarefy.cores import count_cores
from rarefy.paths import RunPaths
from rarefy.pipeline import is_held
from rarefy.registry import UnknownOption
from rarefy.sweeps import EXECUTORS, RunState, _worker, sweep
from rarefy.sweeps._exit_codes import FORKS
from rarefy.sweeps._job import read_tail
from rarefy.sweeps.local import MOST_WORKERS, Worker

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are told apart by ps"),
]


def wait_for(condition, looks=2000):
    """Looks again and again; looks are counted, not seconds, which pass while a machine is busy with something else."""
    for _ in range(looks):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


WORKERS = min(count_cores(), MOST_WORKERS)


@pytest.mark.parametrize(
    ("options", "count", "accelerated", "expected"),
    [
        ({"workers": 3, "threads": 2}, 9, False, (3, 2)),
        ({"workers": 1}, 9, False, (1, count_cores())),
        ({"workers": 10 * count_cores()}, 9, False, (10 * count_cores(), 1)),
        ({}, 1, False, (1, count_cores())),
        ({}, 1000, False, (WORKERS, max(1, count_cores() // WORKERS))),
        ({}, 1000, True, (1, count_cores())),
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


@pytest.mark.skipif(not FORKS, reason="an open file keeps its name there")
def test_a_worker_has_no_file_that_could_stay_behind(tmp_path, monkeypatch):
    """However its sweep ends: what a killed one wrote last has no name any more."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = Worker(1)
    try:
        assert list(tmp_path.iterdir()) == []
        os.write(worker.stderr.fileno(), b"last words")
        assert read_tail(worker.stderr) == "last words"
    finally:
        worker.close()


def test_stopped_killed_and_left(runs, job_of):
    """Three ends of one run in one worker, which takes no harm: it saves when asked, is killed, is left alone."""
    job = job_of(slowed(runs(1)[0]))
    paths = RunPaths(job.folder)
    with EXECUTORS.build("local", workers=1)(1) as pool:
        stopped = pool.submit(job)
        wait_for(lambda: epochs_of(paths) > 3)
        assert stopped.poll() is None
        stopped.stop()
        assert wait_for(stopped.poll).kind == "stopped"
        assert paths.checkpoint.is_file(), "it saved"
        kept = workers()  # where a process runs one job, none
        assert len(kept) == FORKS
        before = epochs_of(paths)
        killed = pool.submit(job)
        wait_for(lambda: epochs_of(paths) > before)
        (fork,) = forks()
        os.kill(fork, signal.SIGKILL)
        end = wait_for(killed.poll)
        assert end.last_line == "Its process was killed by SIGKILL, as the system does when memory runs out."
        assert stopped.poll().kind == "stopped", "it can be asked again"
        assert workers() == kept
        pool.submit(job)
        wait_for(lambda: is_held(paths))
    assert not is_held(paths)
    assert workers() == forks() == []


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_run_only_and_another_takes_its_place(runs, tmp_path):
    killed = []

    def kill_once(statuses):
        if not killed and statuses[0].state is RunState.RUNNING and epochs_of(statuses[0].paths):
            killed.extend(workers())
            os.killpg(killed[0], signal.SIGKILL)

    wanted = [slowed(run) if index == 0 else run for index, run in enumerate(runs(2))]
    first, second = sweep(wanted, EXECUTORS.build("local", workers=1), out=tmp_path, show=kill_once)
    assert len(killed) == 1
    assert (first.state, second.state) == (RunState.FAILED, RunState.DONE)
    assert first.message == "Its process was killed by SIGKILL, as the system does when memory runs out."


SUSPENDED = """
import os, signal, sys, time
from rarefy.sweeps import _worker

signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
fork = os.fork()
if not fork:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    sys.stdin.read()
    os._exit(7)
print("waits", flush=True)
sys.exit(_worker._wait_for_fork(fork, os.getppid()))
"""


@pytest.mark.skipif(not FORKS, reason="no forks here")
@pytest.mark.parametrize("terminated", [False, True])
def test_a_worker_that_was_suspended_stops_its_run_only_if_it_is_told_to(terminated):
    with subprocess.Popen([sys.executable, "-c", SUSPENDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"waits\n"
        for _ in range(3):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        if terminated:
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert process.wait(60) == (256 - signal.SIGTERM if terminated else 7)


@pytest.mark.slow
def test_a_worker_ends_when_its_sweep_is_killed(runs, job_of):
    job = job_of(slowed(runs(1)[0]))
    paths = RunPaths(job.folder)
    code = f"""
import time
from pathlib import PosixPath
from rarefy.sweeps import EXECUTORS, Job
with EXECUTORS.build("local", workers=1)(1) as pool:
    pool.submit({job!r})
    time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        try:
            wait_for(lambda: epochs_of(paths))
        finally:
            parent.kill()
    wait_for(lambda: not is_held(paths))
    assert paths.checkpoint.is_file(), "it saved before it left"
    wait_for(lambda: not workers(parent.pid))


def epochs_of(paths):
    return len(paths.history.read_text().splitlines()) if paths.history.is_file() else 0


def slowed(run):
    """The same with more epochs than anybody waits for."""
    training = run.config.training.model_copy(update={"epochs": 100000})
    config = run.config.model_copy(update={"training": training})
    return dataclasses.replace(run, id=compute_run_id(config), config=config)


def workers(sweep=None):
    """The processes that a sweep started."""
    return [pid for pid, parent in processes(sweep).items() if parent not in processes(sweep)]


def forks(sweep=None):
    """The processes that work on runs: forks of the workers; where there are none, the workers themselves."""
    return [pid for pid, parent in processes(sweep).items() if parent in processes(sweep) or not FORKS]


def processes(sweep):
    """Workers and forks, each with its parent."""
    command = f"rarefy.sweeps._worker {sweep or os.getpid()}"
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return {int(pid): int(parent) for pid, parent, words in rows if command in words}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not FORKS, reason="jobs are forks of a worker only where libraries survive a fork")
def test_what_one_job_has_imported_the_next_ones_find(tmp_path, monkeypatch, capsys):
    (tmp_path / "a_slow_module.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_worker, "LATE_MODULES", ("a_slow_module", "a_module_that_no_job_needs"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("first\nsecond\n"))

    def run_line(text, parent):
        is_imported = "a_slow_module" in sys.modules
        importlib.import_module("a_slow_module")
        return int(is_imported)

    monkeypatch.setattr(_worker, "_run_line", run_line)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        assert _worker.main(os.getppid()) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sys.modules.pop("a_slow_module", None)
    assert capsys.readouterr().out.split() == ["0", "1"]
