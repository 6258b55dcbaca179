"""Torch's optimizers without torch's compiler, whose import takes longer than many a training.

Torch marks some methods of its optimizers as not to be compiled, and imports its compiler to do so at their first call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer

T = TypeVar("T", bound=Optimizer)
_MARKED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def make_eager(rule: type[T]) -> type[T]:
    """Makes a subclass of an optimizer that computes the same and is not meant for `torch.compile`.

    Its methods are those that torch has wrapped, so hooks, states and results are the same.

    Args:
        rule: A class of torch, such as `torch.optim.SGD`.

    Returns:
        The subclass, of the same name.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = make_eager(torch.optim.SGD)([weight], lr=0.5)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.item()
        0.5
    """
    return cast(type[T], _make_eager(cast(Any, rule)))


@functools.cache
def _make_eager(rule: Any) -> Any:
    compute: Callable[..., Any] = inspect.unwrap(rule.step)

    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return compute(self, closure)

    methods: dict[str, Any] = {name: inspect.unwrap(getattr(rule, name)) for name in _MARKED}
    return type(rule.__name__, (rule,), {"step": step, "__doc__": rule.__doc__, "__module__": __name__, **methods})
