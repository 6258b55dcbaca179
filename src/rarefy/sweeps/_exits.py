"""What `local` and the processes it starts agree on."""

from __future__ import annotations

import signal
import sys

from rarefy.sweeps._sweep import End

FORKS = sys.platform == "linux"  # elsewhere system libraries do not survive a fork
CODES = {"done": 0, "failed": 1, "held": 75, "stopped": 130}  # 75: sysexits.h, "try again later"


def end_of(code: int, words: str) -> End:
    """How an attempt ended, from its process's exit code and what it said.

    Args:
        code: Exit code; negative: the signal that killed it.
        words: The end of what it wrote to stderr.
    """
    kinds = {number: kind for kind, number in CODES.items()}
    if code in kinds:
        return End(kinds[code], words)  # type: ignore[arg-type]
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return End("failed", f"{words}\nIts process was killed by {name}{hint}.")
    return End("failed", words or f"Its process ended with exit code {code}.")
