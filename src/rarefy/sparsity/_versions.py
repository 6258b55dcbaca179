"""``Tensor._version``, torch's counter of in-place writes: torch writes it in public, but has no public way to read it.

``torch.autograd.graph.increment_version`` is the public side. Autograd itself compares these counters to find out
whether a saved tensor was overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def read_versions(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Reads how often each tensor was written in place.

    Example:
        >>> import torch
        >>> tensor = torch.ones(2)
        >>> before = read_versions({"a": tensor})["a"]
        >>> tensor.add_(1)
        tensor([2., 2.])
        >>> read_versions({"a": tensor})["a"] - before
        1
    """
    return {name: tensor._version for name, tensor in tensors.items()}
