"""Refuses networks that do not fit in memory."""

from __future__ import annotations

import os

from rarefy.errors import InvalidInput


def require_memory(name: str, weights: int) -> None:
    """Raises ValueError, before the network is built, if its weights do not fit in this machine's memory.

    Args:
        name: Name of the network in the message.
        weights: How many it has, of four bytes each.

    Raises:
        ValueError: If there are too many.

    Example:
        >>> require_memory("mlp_16", 1000)
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * weights > memory:
        raise InvalidInput(
            f"{name} has about {weights:.3g} weights for such images and classes, {4 * weights / 2**30:.3g} GiB; this "
            f"machine has {memory / 2**30:.3g} GiB of memory. Take a smaller network.",
            value=weights,
        )
