"""Gradient checkpointing of blocks, with bit-identical results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@contextlib.contextmanager
def recompute_blocks(model: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Context in which blocks store only their inputs and recompute their activations in the backward pass.

    Norm layers see each batch twice but update their running statistics once, so that results are bit-identical.

    Args:
        model: The model; its forward methods are restored on exit.
        enabled: If False, the context does nothing.
    """
    changed = find_blocks(model) if enabled else []
    for block in changed:
        block.__dict__["forward"] = _CheckpointedForward(block)
    try:
        yield
    finally:
        for block in changed:
            del block.__dict__["forward"]


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """Finds the outermost blocks, in order: children of an `nn.Sequential` that have children themselves."""
    blocks: list[nn.Module] = []
    for child in model.children():
        members = [*child.children()] if isinstance(child, nn.Sequential) else []
        blocks += [member for member in members if [*member.children()]] or find_blocks(child)
    return blocks


class _CheckpointedForward:
    """A block's forward method under gradient checkpointing."""

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._norms: list[Any] = [module for module in block.modules() if _has_running_statistics(module)]

    def __call__(self, *inputs: Any) -> Any:
        forward = type(self._block).forward
        if not torch.is_grad_enabled():
            return forward(self._block, *inputs)
        return checkpoint(forward, self._block, *inputs, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), self._freeze_running_statistics()

    @contextlib.contextmanager
    def _freeze_running_statistics(self) -> Iterator[None]:
        """Context of the second forward pass: momentum 0 keeps the running statistics."""
        before: list[tuple[Any, Tensor | None]] = [
            (norm.momentum, _clone(norm.num_batches_tracked)) for norm in self._norms
        ]
        for norm in self._norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, (momentum, count) in zip(self._norms, before, strict=True):
                norm.momentum = momentum
                if norm.num_batches_tracked is not None and count is not None:
                    norm.num_batches_tracked.copy_(count)


def _clone(count: Tensor | None) -> Tensor | None:
    return None if count is None else count.clone()


def _has_running_statistics(module: nn.Module) -> bool:
    return getattr(module, "running_mean", None) is not None and hasattr(module, "momentum")
