"""Runs code on a model without changing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def freeze_model(model: nn.Module) -> Iterator[None]:
    """Context with the model in evaluation mode and parameters without gradients; restores both at the end.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> with freeze_model(model):
        ...     model.training, model.weight.requires_grad
        (False, False)
        >>> model.training, model.weight.requires_grad
        (True, True)
    """
    modes = [(module, module.training) for module in model.modules()]
    needed = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, needs in needed:
            parameter.requires_grad_(needs)


def get_device(model: nn.Module) -> torch.device:
    """Returns the device of the model's first parameter; the CPU for a model without parameters."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
