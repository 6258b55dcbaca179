"""Checks that layers compute with their own weight, not with one that has no zeros where the weight has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rarefy.errors import InvalidInput

_PLAIN: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FUNCTIONS = {F.linear, F.conv1d, F.conv2d, F.conv3d, torch.conv1d, torch.conv2d, torch.conv3d}
_SIDE = 16  # side of the images on which layers are tried, without the extent of their kernels


class _Recorder(TorchFunctionMode):
    """Records the weights that linear and convolution functions are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _FUNCTIONS:
            self.weights.append(kwargs["weight"] if "weight" in kwargs else args[1])
        return function(*args, **kwargs)


def check_uses(modules: Mapping[str, nn.Module]) -> None:
    """Raises InvalidInput for layers that compute another weight from theirs (weight standardisation): it has no zeros.

    Layers of classes with a forward of their own are called once on random numbers, with a weight half of which is 0.
    A layer that cannot be called like its base class is accepted.

    Args:
        modules: Name to the module that holds the weight.

    Raises:
        InvalidInput: If the weight that a layer computes with is not 0 where its own is.
    """
    for name, module in modules.items():
        if not _keeps_zeros(module):
            raise InvalidInput(
                f"{name!r} belongs to a {type(module).__name__}, which computes with another weight made from it "
                "(standardised, or added to), and that weight is not 0 where this one is pruned. Use a layer that "
                f"computes with its own weight, or leave it dense: exclude=[{type(module).__name__}].",
                name=name,
            )


def _keeps_zeros(module: nn.Module) -> bool:
    base = next((kind for kind in _PLAIN if isinstance(module, kind)), None)
    own = type(module)
    if base is None or (own.forward is base.forward and _convolves_like(own, base)):
        return True
    weight: Tensor = module.weight  # type: ignore[assignment]
    half = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    tried = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)).masked_fill(half, 0)
    state = {name: _copy(value) for name, value in [*module.named_parameters(), *module.named_buffers()]}
    recorder, training = _Recorder(), {child: child.training for child in module.modules()}
    try:
        with torch.no_grad(), recorder:
            inputs = _make_inputs(module)
            torch.func.functional_call(module.eval(), state | {"weight": tried}, (inputs,))
    except Exception:  # its forward takes other arguments
        return True
    finally:
        for child, trains in training.items():
            child.training = trains
    return all(not used[half].any() for used in recorder.weights if used.shape == weight.shape)


def _copy(value: Tensor) -> Tensor:
    return value.detach().cpu().to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)


def _convolves_like(own: type, base: type) -> bool:
    return getattr(own, "_conv_forward", None) is getattr(base, "_conv_forward", None)


def _make_inputs(module: Any) -> Tensor:
    """Makes a batch of two random inputs for a layer of its base class."""
    generator = torch.Generator().manual_seed(2)
    if isinstance(module, nn.Linear):
        return torch.randn(2, module.in_features, generator=generator)
    sizes = [_SIDE + d * k for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    return torch.randn(2, module.in_channels, *sizes, generator=generator)
