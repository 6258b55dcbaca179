"""How many cores this process may use, and how many threads are of use on them."""

from __future__ import annotations

import os

from rarefy.errors import InvalidInput

_THREADS_A_CORE = 8


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
