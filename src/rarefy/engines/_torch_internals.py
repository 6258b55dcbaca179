"""What the engines use of torch beyond its public interface, each with the reason.

`tests/engines/test_internals.py` checks every one of them and names the torch that changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.utils._pytree import tree_leaves, tree_map_only  # torch has no public pytree

__all__ = [
    "apply_function",
    "get_backward_pass",
    "has_forward_hooks",
    "has_hooks",
    "make_wrapper",
    "needs_torch_functions",
    "remove_hooks",
    "tree_leaves",
    "tree_map_only",
    "without_torch_function",
]

_FORWARD_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")

make_wrapper = torch.Tensor._make_wrapper_subclass
"""Makes a tensor of a subclass that has a shape and no memory. It is documented for subclasses, by this name."""

without_torch_function = torch._C.DisableTorchFunctionSubclass
"""Context without `__torch_function__`. It is documented for subclasses, by this name."""

get_backward_pass: Callable[[], int] = torch._C._current_graph_task_id
"""Returns the number of the backward pass that runs in this thread: gradients that wait belong to one pass."""


def apply_function(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """Returns the `apply` of an autograd function without the checks for `torch.func`, which cost as much as a node."""
    apply: Callable[..., Any] = super(torch.autograd.Function, function).apply  # type: ignore[misc]
    return apply


def needs_torch_functions() -> bool:
    """Whether torch's own functions must run: autocast, transforms, tracing, modes or saved-tensor hooks are active."""
    return bool(
        torch.is_autocast_enabled("cpu")
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack()
        or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        or forward_ad._current_level >= 0
    )


def has_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks of its own. Torch can add and remove hooks; it cannot list them."""
    return has_forward_hooks(module) or any(getattr(module, hooks) for hooks in _BACKWARD_HOOKS)


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks before or after its forward."""
    return any(getattr(module, hooks) for hooks in _FORWARD_HOOKS)


def remove_hooks(module: nn.Module, functions: Collection[Callable[..., Any]]) -> None:
    """Removes the forward hooks that are one of some functions. A copied module has the hooks but not their handles."""
    for hooks in (getattr(module, name) for name in _FORWARD_HOOKS):
        for key in [key for key, hook in hooks.items() if hook in functions]:
            del hooks[key]
            module._forward_hooks_always_called.pop(key, None)
