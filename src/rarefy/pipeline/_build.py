"""Builds the network, the masks and the batches of a resolved config."""

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
from rarefy.training import sync_batch_norms

EVALUATION_BATCH = 128  # larger batches are slower on a CPU: their activations leave the cache


def build_dense_model(
    resolved: ResolvedConfig, in_channels: int, classes: int, size: tuple[int, int], streams: Streams
) -> nn.Module:
    """Builds the dense network for images of a given size, on the CPU."""
    return models.build(resolved.model, in_channels=in_channels, classes=classes, size=size, generator=streams("init"))


def build_model(
    resolved: ResolvedConfig,
    spec: data.Spec,
    streams: Streams,
    world: World = SINGLE_PROCESS,
    *,
    device: torch.device | None = None,
) -> nn.Module:
    """Builds the dense network as it is before training, on the config's device or another."""
    model = build_dense_model(resolved, spec.channels, spec.classes, (spec.height, spec.width), streams)
    model = model.to(device or resolved.device)
    if resolved.config.training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return sync_batch_norms(model, world, resolved.device) if resolved.config.training.sync_norms else model


def draw_sparsity(model: nn.Module, resolved: ResolvedConfig, splits: data.Splits, streams: Streams) -> Sparsity:
    """Draws the masks; allocations that need data get class-balanced training images, not augmented."""
    sample = None
    if isinstance(resolved.allocation, SaliencyRule):
        count = resolved.allocation.samples_needed(splits.spec.classes)
        images, labels = data.draw_balanced(splits.train, count, streams("sample"))
        sample = (splits.spec.normalize(images.float() / 255), labels)
    return sparsify(
        model,
        density=resolved.config.density,
        allocation=resolved.allocation,
        topology=resolved.topology,
        seed=resolved.config.seed,
        sample=sample,
        scaling=resolved.scaling,
        base_model=build_base_model(resolved, splits.spec),
        pattern=resolved.config.pattern,
        connect=resolved.config.connect,
        initialiser=resolved.initialiser,
    )


def build_base_model(resolved: ResolvedConfig, spec: data.Spec) -> nn.Module | None:
    """Builds the network in the scaling's base width; None if it has none."""
    base_width = getattr(resolved.scaling, "base_width", None)
    if base_width is None:
        return None
    base = models.change_width(resolved.model, base_width)
    return models.build(
        base,
        in_channels=spec.channels,
        classes=spec.classes,
        size=(spec.height, spec.width),
        generator=torch.Generator(),
    )


def split_batches(
    resolved: ResolvedConfig, splits: data.Splits, streams: Streams, world: World, *, drop_last: bool = False
) -> data.Batches:
    """Makes the training batches: this process's part of each."""
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


def iterate_batches(
    split: data.AnySplit, spec: data.Spec, world: World = SINGLE_PROCESS, *, even: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields this process's share of a split's batches, not augmented.

    With `even`, ranks with fewer batches get one extra empty batch, so that all ranks make the same collective calls: a
    sharded model needs that.
    """
    batches = data.Batches(split, spec, EVALUATION_BATCH)
    share = world.local_range(len(batches))
    yield from batches.epoch(0, start=share.start, stop=share.stop)
    if even and len(share) * world.ranks < len(batches):
        no_images = torch.empty(0, *split.shape, dtype=torch.float32, device=split.device)
        yield no_images, torch.empty(0, dtype=torch.int64, device=split.device)
