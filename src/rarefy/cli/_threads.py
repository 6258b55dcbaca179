"""Applies the flag --threads."""

from __future__ import annotations

import logging

from rarefy.cores import check_threads, count_cores

_LOG = logging.getLogger("rarefy")


def use_threads(threads: int | None) -> None:
    """Sets torch's number of threads; None leaves it unchanged.

    Raises:
        InvalidInput: If the number is far above that of the cores.
    """
    if threads is None:
        return
    check_threads(threads)
    if threads > count_cores():
        warning = "%d threads on %d core(s) wait for each other; --threads %d is faster"
        _LOG.warning(warning, threads, count_cores(), count_cores(), extra={"noted": False})
    import torch

    torch.set_num_threads(threads)
