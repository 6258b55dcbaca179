"""How many cores this process may use, and how many threads are of use on them."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from rarefy.errors import InvalidInput

_THREADS_A_CORE = 8
_SPINS = 10_000  # of OpenMP, each about 50 ns; its own default is 300 000


def count_cores() -> int:
    """Counts the cores that this process may use.

    Example:
        >>> count_cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int) -> None:
    """Refuses numbers of threads that would bring the machine to a stop: OpenMP starts them all, and they only wait.

    More threads than cores are allowed to a degree: the same number of threads gives the same bits, on any machine.

    Args:
        threads: Requested number of threads.

    Raises:
        InvalidInput: If it is below 1, or above 8 a core.

    Example:
        >>> check_threads(1_000_000)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        rarefy.errors.InvalidInput: threads cannot be 1000000: from 1 to ...
    """
    most = _THREADS_A_CORE * count_cores()
    if not 1 <= threads <= most:
        raise InvalidInput(
            f"threads cannot be {threads}: from 1 to {most} are allowed here ({_THREADS_A_CORE} a core). Leave it out "
            "for the machine's own number.",
            name="threads",
            value=threads,
        )


def limit_spinning(environment: MutableMapping[str, str]) -> None:
    """Lets waiting threads of OpenMP sleep after half a millisecond instead of 15, unless the user has set that.

    A thread that spins on a core does not let the thread that it waits for run there. On a machine that other processes
    keep busy this multiplies the time of every operation; an idle machine shows no difference. OpenMP reads the
    variable when torch is imported.

    Args:
        environment: Variables of this process, `os.environ`, or of one that is about to start.

    Example:
        >>> environment = {}
        >>> limit_spinning(environment)
        >>> environment
        {'GOMP_SPINCOUNT': '10000'}

    References:
        GCC, "GNU Offloading and Multi-Processing Runtime Library", section GOMP_SPINCOUNT.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(_SPINS))
