"""Pairs of sparse and dense models."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from rarefy.engines._cpu import SparseConv2d, fuse


def make_pair(make_model: Callable[[], nn.Module]) -> tuple[nn.Module, nn.Module]:
    """Makes a model whose convolutions `first` and `last` are sparse, fused, and the same one dense."""
    torch.manual_seed(0)
    sparse = make_model()
    for name in ("first", "last"):
        layer = getattr(sparse, name)
        setattr(sparse, name, SparseConv2d.from_dense(layer, torch.rand(layer.weight.shape) < 0.6))
    dense = copy.deepcopy(sparse)
    for name in ("first", "last"):
        setattr(dense, name, getattr(dense, name).to_dense())
    fuse(sparse)
    return sparse, dense
