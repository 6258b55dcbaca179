"""Worker process of the executor `local`: ``python -m rarefy.sweeps._worker PARENT``.

Reads jobs as lines of JSON from stdin and writes their exit codes as lines to stdout. Imports take longer than a small
run, so they are done once and each job runs in a fork of this process, isolated from the other jobs. On systems whose
libraries do not survive a fork the process runs one job and exits with its code.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from rarefy.sweeps._exit_codes import CODES, FORKS
from rarefy.sweeps._job import run_job
from rarefy.sweeps._sweep import Job

PLOTS = ("matplotlib.figure", "matplotlib.backends.backend_agg")  # every run plots its curves
LATE_MODULES = ("numba", "sklearn.metrics", "torch._dynamo", "torch.distributed.tensor")
POLL_SECONDS = 0.05  # between two polls of a fork


def main(parent: int) -> int:
    """Runs jobs until EOF on stdin.

    Args:
        parent: Id of the sweep's process.
    """
    if not FORKS:
        return _run_line(sys.stdin.readline(), parent)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))  # handled by _wait_for_fork
    for module in PLOTS:
        importlib.import_module(module)
    for text in iter(sys.stdin.readline, ""):
        worker = os.getpid()
        reader, writer = os.pipe()
        fork = os.fork()
        if not fork:
            _run_in_fork(text, worker, writer)
        os.close(writer)
        sys.stdout.write(f"{_wait_for_fork(fork, parent)}\n")
        sys.stdout.flush()
        for module in _read_modules(reader):
            importlib.import_module(module)
    return 0


def _read_modules(reader: int) -> list[str]:
    """Reads which of the modules that take long to import a job has imported: the next one finds them imported."""
    os.set_blocking(reader, False)  # a process that the job has started may still have the pipe open
    with open(reader, "rb", buffering=0) as pipe:
        return (pipe.read() or b"").decode().split()


def _run_in_fork(text: str, parent: int, writer: int) -> None:
    """Runs a job in the forked child, writes what it has imported, and exits, whatever happens."""
    code = CODES["failed"]
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        os.dup(1)  # keep a copy, so that the reader sees EOF only after the fork exits
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = _run_line(text, parent)
    except BaseException:
        traceback.print_exc()
    finally:
        os.write(writer, " ".join(module for module in LATE_MODULES if module in sys.modules).encode())
        sys.stderr.flush()
        os._exit(code)


def _run_line(text: str, parent: int) -> int:
    values = json.loads(text)
    paths = {name: Path(values[name]) for name in ("folder", "data_dir")}
    result = run_job(Job(**values | paths), parent=parent)
    sys.stderr.write(result.message)
    return CODES[result.kind]


def _wait_for_fork(fork: int, parent: int) -> int:
    """Waits for a fork and returns its exit code; forwards SIGTERM, and exits if the sweep's process has ended."""
    while os.getppid() == parent:
        # Not sigtimedwait: after SIGSTOP and SIGCONT (Ctrl-Z, fg) Python's returns as if the signal had come.
        if signal.SIGTERM in signal.sigpending():
            signal.sigwait((signal.SIGTERM,))
            os.kill(fork, signal.SIGTERM)
        ended, status = os.waitpid(fork, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_SECONDS)
    sys.exit(CODES["stopped"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
