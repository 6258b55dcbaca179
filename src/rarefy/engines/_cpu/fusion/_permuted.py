"""Values and gradients [N, C, H, W] that are seen as [N, H, W, C], as layer norm over the channels needs them.

Torch's own `permute` makes the node of autograd's graph, and what it returns is a view for autograd. Only the values
stay as they are in blocks.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from rarefy.engines._cpu.fusion._deferred import DeferredTensor
from rarefy.engines._cpu.fusion._values import Value

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


class PermutedValue:
    """A value [N, C, H, W] seen as [N, H, W, C].

    Args:
        base: The value.
    """

    is_gradient: ClassVar[bool] = False

    def __init__(self, base: Value) -> None:
        base.is_viewed = True
        self.base = base
        images, channels, height, width = base.shape
        self.shape = torch.Size((images, height, width, channels))
        strides = base.strides or (channels * height * width, height * width, width, 1)
        self.strides = tuple(strides[axis] for axis in TO_LAST)

    @property
    def plain(self) -> Tensor | None:
        """The same values as an ordinary tensor, if there is one."""
        return None if self.base.plain is None else self.tensor()

    @property
    def is_observed(self) -> bool:
        """Whether other code may read the gradient."""
        return self.base.is_observed

    @is_observed.setter
    def is_observed(self, observed: bool) -> None:
        self.base.is_observed = observed

    def tensor(self) -> Tensor:
        """Returns the values as an ordinary tensor, a view of those of the base."""
        return self.base.tensor().permute(TO_LAST)


class PermutedGradient:
    """A gradient [N, C, H, W] seen as [N, H, W, C].

    Args:
        base: The gradient.
    """

    is_gradient: ClassVar[bool] = True
    strides: ClassVar[None] = None

    def __init__(self, base: Any) -> None:
        self.base = base
        images, channels, height, width = base.shape
        self.shape = torch.Size((images, height, width, channels))

    def tensor(self) -> Tensor:
        """Returns it as an ordinary tensor."""
        plain: Tensor = self.base.tensor()
        return plain.permute(TO_LAST)

    def add(self, other: Tensor) -> Tensor:
        """Adds another gradient."""
        return wrap_gradient(self.base.add(unwrap_gradient(other)))


def wrap_gradient(gradient: Tensor) -> Tensor:
    """Permutes a gradient [N, C, H, W] to [N, H, W, C]; one in blocks stays there."""
    if isinstance(gradient, DeferredTensor):
        return DeferredTensor.of(PermutedGradient(gradient.value))
    return gradient.permute(TO_LAST)


def unwrap_gradient(gradient: Tensor) -> Tensor:
    """Permutes a gradient [N, H, W, C] to [N, C, H, W]; one in blocks stays there."""
    if isinstance(gradient, DeferredTensor) and isinstance(gradient.value, PermutedGradient):
        return DeferredTensor.of(gradient.value.base)
    plain = gradient.value.tensor() if isinstance(gradient, DeferredTensor) else gradient
    return plain.permute(TO_FIRST)


def permute_value(tensor: DeferredTensor, dims: list[int]) -> Any:
    """Permutes a tensor in blocks below autograd; NotImplemented for other orders of dimensions."""
    value = tensor.value
    if isinstance(value, PermutedValue | PermutedGradient):
        return DeferredTensor.of(value.base) if dims == TO_FIRST and can_permute(value) else NotImplemented
    if dims != TO_LAST or not can_permute(value):
        return NotImplemented
    return DeferredTensor.of(PermutedGradient(value) if value.is_gradient else PermutedValue(value))


def can_permute(value: Any) -> bool:
    """Whether a value has four dimensions, and no ordinary tensor shares it."""
    return len(value.shape) == 4 and (value.is_gradient or value.plain is None)
