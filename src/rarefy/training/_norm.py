"""Batch norm over the images of all ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rarefy.distributed import World

_BatchNorm = nn.modules.batchnorm._BatchNorm


def synced_norms(model: nn.Module, world: World, device: torch.device | None = None) -> nn.Module:
    """Makes batch norms take mean and variance over the whole batch, whichever ranks its images are on.

    Without it each rank normalises by its own images, as is common, and as many ranks change the result as share the
    batch. Parameters, buffers and their names stay as they are; a single process keeps what it has.

    Args:
        model: Changed in place, but for a model that is a batch norm itself.
        world: The processes.
        device: What the model will be on when it is used; default: where it is.

    Returns:
        The model.

    Example:
        >>> model = synced_norms(nn.Sequential(nn.BatchNorm1d(2)), World(rank=0, ranks=2))
        >>> type(model[0]).__name__
        'SyncedNorm'
    """
    if world.ranks == 1:
        return model
    if isinstance(model, _BatchNorm):
        return _synced(model, device)
    for name, child in model.named_children():
        setattr(model, name, synced_norms(child, world, device))
    return model


def _synced(norm: _BatchNorm, device: torch.device | None) -> nn.Module:
    if norm.weight is not None and (device or norm.weight.device).type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(norm)  # type: ignore[no-any-return, no-untyped-call]
    made = SyncedNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made.__dict__["_parameters"], made.__dict__["_buffers"] = norm._parameters, norm._buffers
    return made.train(norm.training)


class SyncedNorm(_BatchNorm):
    """A batch norm over the images of all ranks, for tensors on the CPU, where torch has none."""

    def forward(self, inputs: Tensor) -> Tensor:
        """``[N, C, ...]`` normalised; N differs between ranks and may be 0."""
        if not self.training:
            return super().forward(inputs)
        places = [0, *range(2, inputs.ndim)]
        view = [1, -1, *[1] * (inputs.ndim - 2)]
        values = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        count = torch.full((1,), values.numel() / values.shape[1], device=values.device)
        sums: Tensor = _Summed.apply(torch.cat([values.sum(places), count]))  # type: ignore[no-untyped-call]
        everywhere = sums[-1].detach()
        mean = sums[:-1] / everywhere
        centred = values - mean.view(view)
        variance: Tensor = _Summed.apply(centred.square().sum(places)) / everywhere  # type: ignore[no-untyped-call]
        self._remember(mean.detach(), variance.detach(), everywhere)
        normal = centred * (variance + self.eps).rsqrt().view(view)
        if self.weight is not None:
            normal = normal * self.weight.view(view)
        if self.bias is not None:
            normal = normal + self.bias.view(view)
        return normal.to(inputs.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Moves the running statistics, the variance as of a sample, as torch does."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / (count - 1)), share)

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Any number of dimensions from two on, as the norm that was replaced had checked."""


class _Summed(torch.autograd.Function):
    """A sum over ranks through which gradients flow back to every rank."""

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
