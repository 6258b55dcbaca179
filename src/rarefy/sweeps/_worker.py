"""``python -m rarefy.sweeps._worker PARENT``: what `local` starts for each of its slots.

Jobs come as lines of JSON on stdin, exit codes go out as lines. What a run imports takes longer than a small run, so it
is imported once and each job gets a fork of this process: no job sees another's memory, none ends with another. Where
system libraries do not survive a fork there is one job a process, whose own exit code says how it ended.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from rarefy.sweeps._exits import CODES, FORKS
from rarefy.sweeps._sweep import Job
from rarefy.sweeps._work import work

LATE_IMPORTS = ("torch._dynamo", "sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_agg")
LOOK_EVERY = 0.05  # seconds between two looks at a fork


def main(parent: int) -> int:
    """Works on jobs until stdin ends.

    Args:
        parent: The sweep's process.
    """
    if not FORKS:
        return _worked(sys.stdin.readline(), parent)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))  # kept for the fork, see _attended
    for module in LATE_IMPORTS:  # by the optimizer, a data set and the run's picture
        importlib.import_module(module)
    for text in iter(sys.stdin.readline, ""):
        own = os.getpid()
        fork = os.fork()
        if not fork:
            _as_fork(text, own)
        sys.stdout.write(f"{_attended(fork, parent)}\n")
        sys.stdout.flush()
    return 0


def _as_fork(text: str, parent: int) -> None:
    """What a fork does, and then it ends, whatever happens."""
    code = CODES["failed"]
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        os.dup(1)  # held open, so that stdout ends for who reads it when this fork has ended, too
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = _worked(text, parent)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _worked(text: str, parent: int) -> int:
    given = json.loads(text)
    end = work(Job(**given | {"folder": Path(given["folder"]), "data_dir": Path(given["data_dir"])}), parent=parent)
    sys.stderr.write(end.words)
    return CODES[end.kind]


def _attended(fork: int, parent: int) -> int:
    """A fork's exit code; SIGTERM is passed on to it, and it notices if this process ends because the sweep's has."""
    while os.getppid() == parent:
        if signal.sigtimedwait((signal.SIGTERM,), LOOK_EVERY):
            os.kill(fork, signal.SIGTERM)
        ended, status = os.waitpid(fork, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
    sys.exit(CODES["stopped"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
