"""Layers whose products a GPU computes on 2:4 weights, through torch's own ``to_sparse_semi_structured``.

That is a prototype, which may change with any torch; here is all that knows it, as read in torch 2.13. Its
form for cuSPARSELt takes contiguous matrices of float16 or bfloat16 on a GPU, with sides that are multiples of 16, and
packs them to half their values with two bits each. Rows of the other operand are padded by torch where that is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear
from torch.sparse import to_sparse_semi_structured

from rarefy.sparsity import FixedMask

DTYPES = (torch.float16, torch.bfloat16)
SIDE = 16  # what both sides of a packed matrix are multiples of


def pack(weight: Tensor) -> Tensor:
    """A 2:4 matrix in the form that sparse kernels read; `torch.nn.functional.linear` takes it as a weight."""
    packed: Tensor = to_sparse_semi_structured(weight.contiguous())
    return packed


def dtype_of(values: Tensor) -> torch.dtype:
    """What products with such values are computed in, autocast considered."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


class Product(torch.autograd.Function):
    """``inputs W^T + bias`` with a packed weight; the gradient of the inputs packs the transposed weight.

    The gradient of the weight is that of every value, as a dense layer has it: it is a product of two dense matrices.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, packed: Tensor) -> Tensor:
        """From ``[rows, in]``, ``[out, in]``, ``[out]`` and the packed weight to ``[rows, out]``."""
        ctx.save_for_backward(inputs, weight)
        return linear(inputs, packed, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of inputs, weight and bias, as far as they are wanted."""
        inputs, weight = ctx.saved_tensors
        gradient = gradient.contiguous()  # of other strides kernels would read other numbers
        of_inputs = linear(gradient, pack(weight.t())) if ctx.needs_input_grad[0] else None
        of_weight = gradient.t() @ inputs if ctx.needs_input_grad[1] else None
        of_bias = gradient.sum(0) if ctx.needs_input_grad[2] else None
        return of_inputs, of_weight, of_bias, None


class _SemiStructured(nn.Module, FixedMask):
    """The weight stays the layer's own dense parameter, zeros included; it is packed where it is used."""

    weight: Tensor
    bias: Any
    _kept: tuple[object, Tensor] | None = None

    def product(self, inputs: Tensor) -> Tensor:
        """The layer's outputs for inputs ``[..., in]``; with dense kernels where numbers are not of half precision."""
        weight, dtype = self.weight.flatten(1), dtype_of(inputs)
        if dtype not in DTYPES:
            return linear(inputs, weight, self.bias)
        rows, weight = inputs.reshape(-1, inputs.shape[-1]).to(dtype).contiguous(), weight.to(dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        outputs: Tensor = Product.apply(rows, weight, bias, self._packed(weight.detach()))  # type: ignore[no-untyped-call]
        return outputs.reshape(*inputs.shape[:-1], -1)

    def _packed(self, weight: Tensor) -> Tensor:
        """Packed anew in training; predictions share what the first of them packed, until the weight changes.

        A fused optimizer changes a weight without a new version, so every pass with gradients forgets what was packed.
        """
        if torch.is_grad_enabled():
            self._kept = None
            return pack(weight)
        about = (self.weight.data_ptr(), self.weight._version, weight.dtype)
        if self._kept is None or self._kept[0] != about:
            self._kept = (about, pack(weight))
        return self._kept[1]


class SemiStructuredLinear(_SemiStructured, nn.Linear):
    """A linear layer with a 2:4 weight."""

    def forward(self, input: Tensor) -> Tensor:
        """Outputs ``[..., out]`` of inputs ``[..., in]``."""
        return self.product(input)


class SemiStructuredConv2d(_SemiStructured, nn.Conv2d):
    """A 1x1 convolution with a 2:4 weight: a linear layer over the channels of every pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """Outputs ``[..., out, H, W]`` of inputs ``[..., in, H, W]``, in channels-last order."""
        rows, columns = self.stride
        return self.product(input[..., ::rows, ::columns].movedim(-3, -1)).movedim(-1, -3)


_FORMS: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: SemiStructuredLinear, nn.Conv2d: SemiStructuredConv2d}


def make_semi_structured(layer: nn.Module) -> None:
    """Has a layer compute on a packed weight: another class for the same module, its parameters and hooks untouched."""
    layer.__class__ = _FORMS[type(layer)]


def make_dense(model: nn.Module) -> None:
    """Gives every such layer its own class back."""
    plain = {form: kind for kind, form in _FORMS.items()}
    for layer in model.modules():
        if type(layer) in plain:
            layer.__dict__.pop("_kept", None)
            layer.__class__ = plain[type(layer)]
