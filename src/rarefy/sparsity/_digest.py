"""A checksum over everything in a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Computes SHA-256 over names, types, shapes and bytes of tensors, and over metadata, in the order of their names.

    Args:
        tensors: Tensors on the CPU.
        metadata: Text by name.

    Example:
        >>> digest({"a": torch.ones(2)}, {})[:8] == digest({"a": torch.ones(1, 2)}, {})[:8]
        False
    """
    found = hashlib.sha256()
    for name, text in sorted(metadata.items()):
        found.update(repr((name, text)).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
