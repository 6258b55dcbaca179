"""Layers that multiply by 2:4 weights on a GPU, through torch's ``to_sparse_semi_structured``.

That function is a prototype, which may change with any torch. This is the only file that uses it, as read in torch
2.13. Its form for cuSPARSELt takes contiguous matrices of float16 or bfloat16 on a GPU, with sides that are multiples
of 16, and packs them to half their values with two bits each. Torch pads the rows of the other operand where needed.
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
SIDE = 16  # both sides of a packed matrix are multiples of it


def pack(weight: Tensor) -> Tensor:
    """Packs a 2:4 matrix for the sparse kernels; `torch.nn.functional.linear` takes the result as a weight."""
    packed: Tensor = to_sparse_semi_structured(weight.contiguous())
    return packed


def get_product_dtype(values: Tensor) -> torch.dtype:
    """Returns the type that products with such values have, autocast included."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


class Product(torch.autograd.Function):
    """Computes ``inputs W^T + bias`` with a packed weight. Backward packs the transposed weight for the inputs.

    The gradient of the weight has every value, as in a dense layer: it is a product of two dense matrices.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, packed: Tensor) -> Tensor:
        """Multiplies inputs ``[rows, in]`` by a weight ``[out, in]`` and adds a bias ``[out]``: ``[rows, out]``."""
        ctx.save_for_backward(inputs, weight)
        return linear(inputs, packed, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Computes the gradients of inputs, weight and bias, as far as they are needed."""
        inputs, weight = ctx.saved_tensors
        gradient = gradient.contiguous()  # the kernels ignore strides
        input_grad = linear(gradient, pack(weight.t())) if ctx.needs_input_grad[0] else None
        weight_grad = gradient.t() @ inputs if ctx.needs_input_grad[1] else None
        bias_grad = gradient.sum(0) if ctx.needs_input_grad[2] else None
        return input_grad, weight_grad, bias_grad, None


class _SemiStructured(nn.Module, FixedMask):
    """Keeps the weight as the layer's own dense parameter, zeros included, and packs it at each use."""

    weight: Tensor
    bias: Any
    _packed_weight: tuple[object, Tensor] | None = None

    def multiply(self, inputs: Tensor) -> Tensor:
        """Computes the outputs of inputs ``[..., in]``; with dense kernels where they are not in half precision."""
        weight, dtype = self.weight.flatten(1), get_product_dtype(inputs)
        if dtype not in DTYPES:
            return linear(inputs, weight, self.bias)
        rows, weight = inputs.reshape(-1, inputs.shape[-1]).to(dtype).contiguous(), weight.to(dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        outputs: Tensor = Product.apply(rows, weight, bias, self._pack(weight.detach()))  # type: ignore[no-untyped-call]
        return outputs.reshape(*inputs.shape[:-1], -1)

    def _pack(self, weight: Tensor) -> Tensor:
        """Packs the weight at every call in training; predictions share one packed weight until the weight changes.

        A fused optimizer changes a weight without a new version, so every pass with gradients drops the packed weight.
        """
        if torch.is_grad_enabled():
            self._packed_weight = None
            return pack(weight)
        version = (self.weight.data_ptr(), self.weight._version, weight.dtype)
        if self._packed_weight is None or self._packed_weight[0] != version:
            self._packed_weight = (version, pack(weight))
        return self._packed_weight[1]


class SemiStructuredLinear(_SemiStructured, nn.Linear):
    """A linear layer with a 2:4 weight."""

    def forward(self, input: Tensor) -> Tensor:
        """Computes outputs ``[..., out]`` of inputs ``[..., in]``."""
        return self.multiply(input)


class SemiStructuredConv2d(_SemiStructured, nn.Conv2d):
    """A 1x1 convolution with a 2:4 weight: a linear layer over the channels of every pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """Computes outputs ``[..., out, H, W]`` of inputs ``[..., in, H, W]``, in the layout channels_last."""
        rows, columns = self.stride
        return self.multiply(input[..., ::rows, ::columns].movedim(-3, -1)).movedim(-1, -3)


_FORMS: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: SemiStructuredLinear, nn.Conv2d: SemiStructuredConv2d}


def make_semi_structured(layer: nn.Module) -> None:
    """Makes a layer compute with a packed weight: changes its class, not its parameters and hooks."""
    layer.__class__ = _FORMS[type(layer)]


def undo_semi_structured(model: nn.Module) -> None:
    """Gives every layer of `make_semi_structured` its own class back."""
    plain = {form: kind for kind, form in _FORMS.items()}
    for layer in model.modules():
        if type(layer) in plain:
            layer.__dict__.pop("_packed_weight", None)
            layer.__class__ = plain[type(layer)]
