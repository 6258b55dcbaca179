"""An attempt, in this process."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from rarefy.paths import RunPaths
from rarefy.pipeline._folder import claim_folder
from rarefy.records import read
from rarefy.sweeps import run_job
from rarefy.sweeps._exit_codes import CODES, parse_exit_code


def test_done_leaves_a_record_and_the_process_as_it_was(runs, job_of):
    job = job_of(runs(1)[0])
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = torch.get_num_threads()
    assert run_job(job).kind == "done"
    assert read(job.folder).environment["threads"] == 1
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert torch.get_num_threads() == threads


def test_a_run_that_is_held(runs, job_of):
    job = job_of(runs(1)[0])
    with claim_folder(RunPaths(job.folder)):
        assert run_job(job).kind == "held"


def test_a_failure_has_its_traceback(runs, job_of):
    end = run_job(job_of(runs(1)[0], model={"name": "nothing"}))
    assert end.kind == "failed"
    assert "Traceback" in end.message
    assert end.last_line.startswith("UnknownName: Unknown model 'nothing'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_a_checkpoint(runs, job_of, number):
    job = job_of(runs(1)[0])
    hook = register_optimizer_step_post_hook(lambda *_: os.kill(os.getpid(), number))
    try:
        assert run_job(job).kind == "stopped"
    finally:
        hook.remove()
    assert RunPaths(job.folder).checkpoint.is_file()
    assert not RunPaths(job.folder).record.exists()
    assert run_job(job).kind == "done"
    assert "continuing run" in RunPaths(job.folder).log.read_text()


def test_it_stops_when_the_process_that_started_it_is_gone(runs, job_of):
    assert run_job(job_of(runs(1)[0]), parent=os.getpid()).kind == "stopped"  # not the parent: as if that had gone


def test_exit_codes_say_how_a_process_ended():
    for kind, code in CODES.items():
        assert parse_exit_code(code, "words").kind == kind
    killed = parse_exit_code(-9, "epoch 3\n")
    assert killed.kind == "failed"
    assert "SIGKILL" in killed.last_line
    assert "memory" in killed.last_line
    assert "epoch 3" in killed.message
    assert "SIGSEGV" in parse_exit_code(-11, "").last_line
    assert parse_exit_code(3, "").last_line == "Its process ended with exit code 3."
    assert parse_exit_code(1, "ValueError: x\n").last_line == "ValueError: x"
