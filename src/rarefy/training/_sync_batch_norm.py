"""Batch norm over the batch of all ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rarefy.distributed import World

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def sync_batch_norms(model: nn.Module, world: World, device: torch.device | None = None) -> nn.Module:
    """Replaces batch norms by ones that take mean and variance over the batch of all ranks.

    Otherwise each rank normalises over its own images, which is common, and the result depends on the number of ranks.
    Parameters, buffers and their names are kept. With a single process the model is not changed.

    Args:
        model: Changed in place, unless it is a batch norm itself.
        world: The processes.
        device: Device on which the model will be used; default: its current one.

    Returns:
        The model.

    Example:
        >>> model = sync_batch_norms(nn.Sequential(nn.BatchNorm1d(2)), World(rank=0, ranks=2))
        >>> type(model[0]).__name__
        'SyncedBatchNorm'
    """
    if world.ranks == 1:
        return model
    if isinstance(model, _BATCH_NORMS):
        return _replace_batch_norm(model, device)
    for name, child in model.named_children():
        setattr(model, name, sync_batch_norms(child, world, device))
    return model


def _replace_batch_norm(norm: Any, device: torch.device | None) -> nn.Module:
    if norm.weight is not None and (device or norm.weight.device).type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-any-return, no-untyped-call]
    affine, tracks = norm.weight is not None, norm.running_mean is not None
    synced = SyncedBatchNorm(norm.num_features, norm.eps, norm.momentum, affine, tracks)
    for name, parameter in norm.named_parameters(recurse=False):
        synced.register_parameter(name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        synced.register_buffer(name, buffer)
    return synced.train(norm.training)


class SyncedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the batch of all ranks for CPU tensors; torch's own is for GPUs only."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalises ``[N, C, ...]``; N differs between ranks and may be 0."""
        if not self.training:
            stored = self.running_mean, self.running_var
            by_batch = self.running_mean is None
            return nn.functional.batch_norm(inputs, *stored, self.weight, self.bias, training=by_batch, eps=self.eps)
        axes = [0, *range(2, inputs.ndim)]
        view = [1, -1, *[1] * (inputs.ndim - 2)]
        values = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        count = torch.full((1,), values.numel() / values.shape[1], device=values.device)
        sums: Tensor = _AllReduce.apply(torch.cat([values.sum(axes), count]))  # type: ignore[no-untyped-call]
        total_count = sums[-1].detach()
        mean = sums[:-1] / total_count
        centred = values - mean.view(view)
        variance: Tensor = _AllReduce.apply(centred.square().sum(axes)) / total_count  # type: ignore[no-untyped-call]
        self._update_running_statistics(mean.detach(), variance.detach(), total_count)
        normal = centred * (variance + self.eps).rsqrt().view(view)
        if self.weight is not None:
            normal = normal * self.weight.view(view)
        if self.bias is not None:
            normal = normal + self.bias.view(view)
        return normal.to(inputs.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Updates the running statistics with the unbiased variance, as torch does."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)


class _AllReduce(torch.autograd.Function):
    """Differentiable sum over ranks."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total
