"""One model on several processes: its gradients are those of the whole batch, its weights copied or shared out."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rarefy.distributed import World
from rarefy.shards import is_sharded
from rarefy.training._recompute import blocks

_REDUCED = {"none": None, "fp16": torch.float16, "bf16": torch.bfloat16}


def parallel(model: nn.Module, world: World, *, compression: str) -> nn.Module:
    """The model as it is called in training: itself, or wrapped so that backward passes average gradients over ranks.

    Args:
        model: The model; its parameters and names stay, all ranks take the first one's values. One that is sharded
            averages by itself.
        world: The processes.
        compression: How gradients travel: ``none``, ``fp16`` or ``bf16``.
    """
    if world.ranks == 1 or is_sharded(next(model.parameters())):
        return model
    device = next(model.parameters()).device
    wrapped = DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
    if compression != "none":
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks  # needs a torch built with it

        hooks = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}
        wrapped.register_comm_hook(None, hooks[compression])
    return wrapped


def shard(model: nn.Module, world: World, device: torch.device, *, compression: str = "none") -> nn.Module:
    """Gives each process its part of every weight, and with it of gradients, optimizer state and masks (FSDP2).

    Weights are gathered block by block (the blocks of an ``nn.Sequential``) as the forward and the backward pass need
    them, and let go at once. Names, gradients and results stay what they are with a copy on every process.

    Args:
        model: The whole model, on any device; all ranks take the first one's values. It is changed in place: make the
            optimizer afterwards.
        world: The processes; one alone keeps all.
        device: Where the parts shall be: a GPU each, or the CPU.
        compression: How gradients travel: ``none``, ``fp16`` or ``bf16``.

    Returns:
        The model.

    Example:
        >>> shard(nn.Linear(8, 4), World(), torch.device("cpu"))
        Linear(in_features=8, out_features=4, bias=True)
    """
    if world.ranks == 1:
        return model.to(device)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # not channels-last, which cannot be divided among ranks
    world.broadcast_([*model.state_dict().values()])
    mesh = init_device_mesh(device.type, (world.ranks,))
    policy = MixedPrecisionPolicy(reduce_dtype=_REDUCED[compression])
    for part in [*blocks(model), model]:  # the outermost too lets go: between steps nothing is whole
        fully_shard(part, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    return model


def waiting(model: Any, *, last: bool) -> contextlib.AbstractContextManager[Any]:
    """The context of a backward pass that is one of several before a step: only the last one talks to other ranks."""
    return contextlib.nullcontext() if last or not hasattr(model, "no_sync") else model.no_sync()
