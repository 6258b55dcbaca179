"""Data-parallel training with DDP (weights replicated) or FSDP2 (weights sharded)."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rarefy.distributed import World
from rarefy.shards import is_sharded
from rarefy.training._recompute import find_blocks

_REDUCE_DTYPES = {"none": None, "fp16": torch.float16, "bf16": torch.bfloat16}


def wrap_data_parallel(model: nn.Module, world: World, *, compression: str) -> nn.Module:
    """Wraps a model in DDP, so that the backward pass averages gradients over ranks; one process needs no wrapper.

    Args:
        model: The model; all ranks receive rank 0's values. A sharded model is returned as it is: FSDP2 averages.
        world: The processes.
        compression: Data type in which gradients are sent: ``none``, ``fp16`` or ``bf16``.
    """
    if world.ranks == 1 or is_sharded(next(model.parameters())):
        return model
    device = next(model.parameters()).device
    wrapped = DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
    if compression != "none":
        from torch.distributed.algorithms.ddp_comm_hooks import (
            default_hooks,
        )  # missing if torch was built without distributed

        hooks = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}
        wrapped.register_comm_hook(None, hooks[compression])
    return wrapped


def shard(model: nn.Module, world: World, device: torch.device, *, compression: str = "none") -> nn.Module:
    """Shards weights, gradients, optimizer state and masks over the processes (FSDP2).

    Weights are gathered block by block (the blocks of an ``nn.Sequential``) for the forward and the backward pass and
    resharded right after. Names, gradients and results are the same as with a copy on every process.

    Args:
        model: The whole model, on any device; all ranks receive rank 0's values. It is changed in place: create the
            optimizer afterwards.
        world: The processes; with one the model is only moved.
        device: Device of the shards: one GPU per process, or the CPU.
        compression: Data type in which gradients are sent: ``none``, ``fp16`` or ``bf16``.

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
        parameter.data = parameter.data.contiguous()  # channels-last weights cannot be sharded
    world.broadcast_([*model.state_dict().values()])
    mesh = init_device_mesh(device.type, (world.ranks,))
    policy = MixedPrecisionPolicy(reduce_dtype=_REDUCE_DTYPES[compression])
    for module in [*find_blocks(model), model]:  # reshard the root too, so that no full weight stays between steps
        fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    return model


def no_sync(model: Any, *, enabled: bool) -> contextlib.AbstractContextManager[Any]:
    """Context in which DDP does not average gradients: all backward passes of a step but the last."""
    return model.no_sync() if enabled and hasattr(model, "no_sync") else contextlib.nullcontext()
