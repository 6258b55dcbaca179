"""Converts between torch's tensors and blocked tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._calls import pack
from rarefy.engines._cpu.blocked._memory import BlockedTensor

_COLUMNS = 8


def to_blocked(tensor: Tensor) -> BlockedTensor:
    """Copies a tensor [N, C, H, W] or [N, F] to blocks; the last block is padded with zeros."""
    tensor = tensor.detach().resolve_neg().contiguous()
    maps = _make_rows(*tensor.shape) if tensor.dim() == 2 else BlockedTensor(*tensor.shape)
    pack(maps, tensor.view(-1).numpy())
    return maps


def from_blocked(maps: BlockedTensor) -> Tensor:
    """Copies blocks to a new contiguous tensor [N, C, H, W] or [N, F]."""
    shape = (maps.images, maps.channels) if maps.rows else (maps.images, maps.channels, maps.height, maps.width)
    tensor = torch.empty(shape, dtype=torch.float32)
    pack(maps, tensor.view(-1).numpy(), back=True)
    return tensor


def _make_rows(images: int, channels: int) -> BlockedTensor:
    """Makes a block of rows; groups of 16 rows form lines of 8, so that chunks of 8 or 16 vectors fit."""
    groups = -(-images // 16)
    width = min(groups, _COLUMNS)
    return BlockedTensor(images, channels, -(-groups // width), width, rows=True)
