"""A plan's network as it is before training: what a run starts from, and what an evaluation looks back at."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rarefy import data, models
from rarefy.allocation import SaliencyRule
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.pipeline._resolve import ResolvedConfig
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, sparsify
from rarefy.training import synced_norms

EVALUATION_BATCH = 128  # larger batches are slower on a CPU: their activations leave the cache


def build_dense_model(
    resolved: ResolvedConfig, in_channels: int, classes: int, size: tuple[int, int], streams: Streams
) -> nn.Module:
    """The dense network of a plan for images of a size that is only named, on the CPU."""
    return models.build(resolved.model, in_channels=in_channels, classes=classes, size=size, generator=streams("init"))


def build_model(
    resolved: ResolvedConfig,
    spec: data.Spec,
    streams: Streams,
    world: World = SINGLE_PROCESS,
    *,
    device: torch.device | None = None,
) -> nn.Module:
    """The dense network of a plan as it is before training, on the plan's device or another."""
    model = build_dense_model(resolved, spec.channels, spec.classes, (spec.height, spec.width), streams)
    model = model.to(device or resolved.device)
    if resolved.config.training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return synced_norms(model, world, resolved.device) if resolved.config.training.sync_norms else model


def draw_sparsity(model: nn.Module, resolved: ResolvedConfig, splits: data.Splits, streams: Streams) -> Sparsity:
    """Sparsifies the model; allocations that look at data get class-balanced training images, unaugmented."""
    sample = None
    if isinstance(resolved.allocation, SaliencyRule):
        count = resolved.allocation.samples_needed(splits.spec.classes)
        images, labels = data.balanced(splits.train, count, streams("sample"))
        sample = (splits.spec.normalize(images.float() / 255), labels)
    return sparsify(
        model,
        density=resolved.config.density,
        allocation=resolved.allocation,
        topology=resolved.topology,
        seed=resolved.config.seed,
        sample=sample,
        scaled=resolved.config.scaled,
        pattern=resolved.config.pattern,
    )


def split_batches(
    resolved: ResolvedConfig, splits: data.Splits, streams: Streams, world: World, *, drop_last: bool = False
) -> data.Batches:
    """The training split as it is trained on: this process's part of every batch."""
    return data.Batches(
        splits.train,
        splits.spec,
        resolved.config.training.batch_size,
        streams=streams,
        augment=splits.augment,
        drop_last=drop_last,
        rank=world.rank,
        ranks=world.ranks,
    )


def in_order(
    split: data.AnySplit, spec: data.Spec, world: World = SINGLE_PROCESS, *, even: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """A split's batches, unaugmented; of several processes each gets some, the same batches in all.

    Where weights are sharded all processes compute in step: `even` gives who has fewer one batch more, of no image.
    """
    batches = data.Batches(split, spec, EVALUATION_BATCH)
    share = world.local_range(len(batches))
    yield from batches.epoch(0, start=share.start, stop=share.stop)
    if even and len(share) * world.ranks < len(batches):
        nothing = torch.empty(0, *split.shape, dtype=torch.float32, device=split.device)
        yield nothing, torch.empty(0, dtype=torch.int64, device=split.device)
