"""What the flag --threads does."""

from __future__ import annotations

import logging

from rarefy.cores import check_threads, count_cores

_LOG = logging.getLogger("rarefy")


def use_threads(threads: int | None) -> None:
    """Computes with this many threads; None leaves the number as it is.

    Raises:
        InvalidInput: If so many would bring the machine to a stop.
    """
    if threads is None:
        return
    check_threads(threads)
    if threads > count_cores():
        told = "%d threads on %d core(s) wait for each other; --threads %d is faster"
        _LOG.warning(told, threads, count_cores(), count_cores(), extra={"noted": False})
    import torch

    torch.set_num_threads(threads)
