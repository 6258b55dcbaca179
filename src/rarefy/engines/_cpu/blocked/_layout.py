"""Between torch's tensors and blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._calls import pack
from rarefy.engines._cpu.blocked._memory import Maps

_COLUMNS = 8


def enter(tensor: Tensor) -> Maps:
    """[N, C, H, W] or [N, F] to blocks; images that fill up the last block are zeros."""
    tensor = tensor.detach().contiguous()
    maps = _rows(*tensor.shape) if tensor.dim() == 2 else Maps(*tensor.shape)
    pack(maps, tensor.view(-1).numpy())
    return maps


def leave(maps: Maps) -> Tensor:
    """Blocks to a new contiguous tensor [N, C, H, W] or [N, F]."""
    shape = (maps.images, maps.channels) if maps.rows else (maps.images, maps.channels, maps.height, maps.width)
    tensor = torch.empty(shape, dtype=torch.float32)
    pack(maps, tensor.view(-1).numpy(), back=True)
    return tensor


def fold(maps: Maps, back: Maps | None = None) -> Maps:
    """Maps to rows [N, C x H x W]; or rows `back` to maps of those sizes."""
    if back is None:
        rows = _rows(maps.images, maps.channels * maps.height * maps.width)
        blocks = _blocks(maps).permute(1, 2, 3, 0, 4).reshape(rows.channels, -1)
        _matrix(rows)[:, : blocks.shape[1]] = blocks
        _matrix(rows)[:, maps.images :] = 0
        return rows
    out = back.like()
    groups = _matrix(maps)[:, : out.blocks * 16].view(out.channels, out.height, out.width, out.blocks, 16)
    _blocks(out).copy_(groups.permute(3, 0, 1, 2, 4))
    return out


def _rows(images: int, channels: int) -> Maps:
    """A block of rows; groups of 16 rows stand in lines of 8, so that chunks of 8 or 16 fit."""
    groups = -(-images // 16)
    width = min(groups, _COLUMNS)
    return Maps(images, channels, -(-groups // width), width, rows=True)


def _blocks(maps: Maps) -> Tensor:
    shape = (maps.blocks, maps.channels, maps.height, maps.width, 16)
    return torch.from_numpy(maps.data).view(shape)


def _matrix(maps: Maps) -> Tensor:
    return torch.from_numpy(maps.data).view(maps.channels, -1)
