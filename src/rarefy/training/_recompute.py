"""Gradient checkpointing: less memory for more time, and the same bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_BatchNorm = nn.modules.batchnorm._BatchNorm


@contextlib.contextmanager
def recomputing(model: nn.Module, *, wanted: bool) -> Iterator[None]:
    """Gradient checkpointing: blocks keep their inputs only, and compute what is inside once more in the backward pass.

    Batch norms see each batch twice and remember it once, so that no bit changes.

    Args:
        model: The model; it is as it was after the context.
        wanted: Whether to do so.
    """
    changed = blocks(model) if wanted else []
    for block in changed:
        block.__dict__["forward"] = _Recomputed(block)
    try:
        yield
    finally:
        for block in changed:
            del block.__dict__["forward"]


def blocks(model: nn.Module) -> list[nn.Module]:
    """The outermost blocks, in order: members of an `nn.Sequential` that have members of their own."""
    found = []
    for child in model.children():
        members = [*child.children()] if isinstance(child, nn.Sequential) else []
        found += [member for member in members if [*member.children()]] or blocks(child)
    return found


class _Recomputed:
    """A block's forward pass that keeps nothing but its inputs."""

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]

    def __call__(self, *inputs: Any) -> Any:
        forward = type(self._block).forward
        if not torch.is_grad_enabled():
            return forward(self._block, *inputs)
        return checkpoint(forward, self._block, *inputs, use_reentrant=False, context_fn=self._passes)

    def _passes(self) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), self._again()

    @contextlib.contextmanager
    def _again(self) -> Iterator[None]:
        """A second pass, from which batch norms remember nothing: of what they see, a share of 0."""
        before = [(norm.momentum, _copied(norm.num_batches_tracked)) for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, (momentum, seen) in zip(self._norms, before, strict=True):
                norm.momentum = momentum
                if norm.num_batches_tracked is not None and seen is not None:
                    norm.num_batches_tracked.copy_(seen)


def _copied(count: Tensor | None) -> Tensor | None:
    return None if count is None else count.clone()
