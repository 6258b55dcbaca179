"""How long `rarefy --help` takes, paired run by run with a Python that does nothing.

    python benchmarks/help_startup.py [runs]

Target: the median under 0.3 s, everything included.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

TARGET_SECONDS = 0.3
HELP = "import sys; sys.argv = ['rarefy', '--help']; from rarefy.cli import main; main()"


def seconds(code: str) -> float:
    """Wall time of a fresh Python that runs `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(runs: int = 11) -> int:
    """Measures in pairs, after one pair that fills the file cache; returns 1 where the target is missed."""
    pairs = [(seconds(HELP), seconds("pass")) for _ in range(runs + 1)][1:]
    with_help, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"rarefy --help  {with_help:.3f} s   (median of {runs}, {os.cpu_count()} cores)")
    print(f"python -c pass {bare:.3f} s")
    print(f"ratio          {ratio:.1f}   (median of {runs} pairs)")
    met = with_help < TARGET_SECONDS
    print(f"target         under {TARGET_SECONDS} s: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
