"""Computes the checksum of a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def compute_digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Computes SHA-256 over names, types, shapes and bytes of tensors, and over metadata, sorted by name.

    Args:
        tensors: Tensors on the CPU.
        metadata: Text by name.

    Example:
        >>> compute_digest({"a": torch.ones(2)}, {})[:8] == compute_digest({"a": torch.ones(1, 2)}, {})[:8]
        False
    """
    sha = hashlib.sha256()
    for name, text in sorted(metadata.items()):
        sha.update(repr((name, text)).encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
