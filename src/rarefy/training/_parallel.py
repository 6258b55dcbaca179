"""One model on several processes: its gradients are those of the whole batch."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

from rarefy.distributed import World

_HOOKS = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}


def parallel(model: nn.Module, world: World, *, compression: str) -> nn.Module:
    """The model as it is called in training: itself, or wrapped so that backward passes average gradients over ranks.

    Args:
        model: The model; its parameters and names stay, all ranks take the first one's values.
        world: The processes.
        compression: How gradients travel: ``none``, ``fp16`` or ``bf16``.
    """
    if world.ranks == 1:
        return model
    device = next(model.parameters()).device
    wrapped = DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
    if compression != "none":
        wrapped.register_comm_hook(None, _HOOKS[compression])
    return wrapped


def waiting(model: Any, *, last: bool) -> contextlib.AbstractContextManager[Any]:
    """The context of a backward pass that is one of several before a step: only the last one talks to other ranks."""
    return contextlib.nullcontext() if last or not hasattr(model, "no_sync") else model.no_sync()
