"""Exit codes of the processes that the executor `local` starts."""

from __future__ import annotations

import signal
import sys

from rarefy.sweeps._sweep import JobResult

FORKS = sys.platform == "linux"  # on other systems, system libraries do not survive a fork
CODES = {"done": 0, "failed": 1, "held": 75, "stopped": 130}  # 75: sysexits.h, "try again later"


def parse_exit_code(code: int, output: str) -> JobResult:
    """Builds a job's result from its process's exit code and output.

    Args:
        code: Exit code; a negative one is the signal that killed the process.
        output: The end of its stderr.
    """
    kinds = {number: kind for kind, number in CODES.items()}
    if code in kinds:
        return JobResult(kinds[code], output)  # type: ignore[arg-type]
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return JobResult("failed", f"{output}\nIts process was killed by {name}{hint}.")
    return JobResult("failed", output or f"Its process ended with exit code {code}.")
