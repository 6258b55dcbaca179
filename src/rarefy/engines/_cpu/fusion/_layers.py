"""Linear and convolution layers that store kept weights only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rarefy.engines._cpu._ready import require
from rarefy.engines._cpu.blocked._pattern import Pattern
from rarefy.engines._cpu.blocked._weights import Weights
from rarefy.engines._cpu.fusion._eager import keep_eager
from rarefy.errors import InvalidInput


class _Sparse(nn.Module):
    """What both layers share: values, pattern, bias, and the dense gradient on request."""

    values: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, pattern: Pattern, values: Tensor, bias: nn.Parameter | None, *, trained: bool = True) -> None:
        super().__init__()
        self.pattern = pattern
        self.values = nn.Parameter(values.contiguous(), requires_grad=trained)
        self.register_parameter("bias", bias)
        self.dense_gradient = False
        self.dense_grad: Tensor | None = None

    def _reference(self, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """The same result by torch's dense kernels: the path of other types and devices, and the tests' oracle."""
        weight = self.pattern.scatter(self.values)
        if self.dense_gradient and weight.requires_grad:
            weight.register_hook(self._keep)  # type: ignore[no-untyped-call]
        return compute(weight)

    def fast(self, inputs: Tensor) -> bool:
        """Whether the kernels can take this input; else the reference computes it, and the dense gradient."""
        wants_dense = self.dense_gradient and torch.is_grad_enabled() and self.values.requires_grad
        floats = inputs.dtype == self.values.dtype == torch.float32
        return (
            floats and inputs.device.type == self.values.device.type == "cpu" and inputs.numel() > 0 and not wants_dense
        )

    def weights(self) -> Weights:
        """What the kernels need to know."""
        raise NotImplementedError

    def _computed(self, inputs: Tensor) -> Tensor:
        require()
        from rarefy.engines._cpu.fusion._operations import Convolve
        from rarefy.engines._cpu.fusion._run import Region

        return Region([0], [1], [Convolve(self.weights(), 0, 1)])(inputs)[0]

    def _keep(self, gradient: Tensor) -> None:
        gradient = gradient.detach()
        self.dense_grad = gradient.clone() if self.dense_grad is None else self.dense_grad + gradient


class SparseLinear(_Sparse):
    """A linear layer of kept weights only. Make it with `from_dense`.

    Args:
        pattern: Which weights are kept.
        values: Kept weights, [nnz], in the order of `pattern.indices`.
        bias: Bias of the layer or None; the Parameter itself is used.
        trained: Whether the values take gradients.

    Example:
        >>> dense = nn.Linear(4, 2)
        >>> layer = SparseLinear.from_dense(dense, torch.eye(2, 4, dtype=torch.bool))
        >>> layer.values.shape, layer(torch.ones(3, 4)).shape
        (torch.Size([2]), torch.Size([3, 2]))
    """

    @classmethod
    def from_dense(cls, module: nn.Linear, mask: Tensor) -> Self:
        """Takes the kept weights of a linear layer; the bias Parameter itself is shared."""
        pattern = Pattern(mask)
        return cls(pattern, pattern.gather(module.weight.detach()), module.bias, trained=module.weight.requires_grad)

    def to_dense(self) -> nn.Linear:
        """A linear layer: kept weights bit for bit, others exactly 0; the bias Parameter itself is shared."""
        outputs, inputs = self.pattern.shape
        dense = nn.Linear(inputs, outputs, bias=False, device="meta")
        dense.weight = nn.Parameter(self.pattern.scatter(self.values.detach()), self.values.requires_grad)
        dense.bias = self.bias  # type: ignore[assignment]
        return dense.train(self.training)

    @keep_eager  # kernels are compiled already
    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [..., in features] to outputs [..., out features]."""
        if not self.fast(inputs):
            return self._reference(lambda weight: F.linear(inputs, weight, self.bias))
        rows = inputs.reshape(-1, inputs.shape[-1])
        return self._computed(rows).view(*inputs.shape[:-1], -1)

    def weights(self) -> Weights:
        """What the kernels need to know: a 1x1 convolution of an image of one pixel."""
        from rarefy.engines._cpu.blocked._weights import Weights

        nothing = (0, 0)
        return Weights(self.pattern, self.values, self.bias, (1, 1), (nothing, nothing), (1, 1), 1)

    def extra_repr(self) -> str:
        """Sizes and count, for people."""
        outputs, inputs = self.pattern.shape
        return f"in_features={inputs}, out_features={outputs}, bias={self.bias is not None}, kept={self.pattern.nnz}"


class SparseConv2d(_Sparse):
    """A 2-D convolution of kept weights only. Make it with `from_dense`.

    Args:
        pattern: Which weights are kept; shape [out, in / groups, rows, columns].
        values: Kept weights, [nnz], in the order of `pattern.indices`.
        bias: Bias of the layer or None; the Parameter itself is used.
        stride: Of the kernel, (rows, columns).
        padding: Zeros on both sides, (rows, columns), or "same" or "valid".
        dilation: Of the kernel, (rows, columns).
        groups: Groups of channels.
        trained: Whether the values take gradients.

    Example:
        >>> dense = nn.Conv2d(3, 8, 3, padding=1)
        >>> layer = SparseConv2d.from_dense(dense, torch.rand(8, 3, 3, 3) < 0.2)
        >>> layer(torch.ones(2, 3, 5, 5)).shape
        torch.Size([2, 8, 5, 5])
    """

    def __init__(
        self,
        pattern: Pattern,
        values: Tensor,
        bias: nn.Parameter | None = None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] | str = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        trained: bool = True,
    ) -> None:
        super().__init__(pattern, values, bias, trained=trained)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    @classmethod
    def from_dense(cls, module: nn.Conv2d, mask: Tensor) -> Self:
        """Takes the kept weights of a convolution; the bias Parameter itself is shared.

        Raises:
            ValueError: If the padding mode is not "zeros".
        """
        if module.padding_mode != "zeros":
            raise InvalidInput(
                f"A sparse convolution pads with zeros only; got padding_mode={module.padding_mode!r}. Keep it dense."
            )
        pattern = Pattern(mask)
        return cls(
            pattern,
            pattern.gather(module.weight.detach()),
            cast("nn.Parameter | None", module.bias),
            stride=module.stride,  # type: ignore[arg-type]
            padding=module.padding,  # type: ignore[arg-type]
            dilation=module.dilation,  # type: ignore[arg-type]
            groups=module.groups,
            trained=module.weight.requires_grad,
        )

    def to_dense(self) -> nn.Conv2d:
        """A convolution: kept weights bit for bit, others exactly 0; the bias Parameter itself is shared."""
        outputs, inputs, *kernel = self.pattern.shape
        dense = nn.Conv2d(
            inputs * self.groups,
            outputs,
            (kernel[0], kernel[1]),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            bias=False,
            device="meta",
        )
        dense.weight = nn.Parameter(self.pattern.scatter(self.values.detach()), self.values.requires_grad)
        dense.bias = self.bias
        return dense.train(self.training)

    @keep_eager  # kernels are compiled already
    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] or [C, H, W] to feature maps."""
        if not self.fast(images):
            return self._reference(
                lambda weight: F.conv2d(
                    images, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
                )
            )
        return self._computed(images) if images.dim() == 4 else self._computed(images[None])[0]

    def weights(self) -> Weights:
        """What the kernels need to know."""
        return conv_weights(self, self.pattern, self.values)

    def extra_repr(self) -> str:
        """Sizes and count, for people."""
        outputs, inputs, *kernel = self.pattern.shape
        return (
            f"{inputs * self.groups}, {outputs}, kernel_size={tuple(kernel)}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, "
            f"kept={self.pattern.nnz}"
        )


def conv_weights(layer: SparseConv2d | nn.Conv2d, pattern: Pattern, values: nn.Parameter) -> Weights:
    """What the kernels need to know of a convolution, sparse or dense."""
    dilation = (layer.dilation[0], layer.dilation[1])
    spans = [(size - 1) * step for size, step in zip(pattern.shape[2:], dilation, strict=True)]
    if layer.padding == "same":
        before = [span // 2 for span in spans]
        after = [span - span // 2 for span in spans]
    else:
        before = after = [0, 0] if isinstance(layer.padding, str) else [int(pad) for pad in layer.padding]
    padding = ((before[0], before[1]), (after[0], after[1]))
    bias = cast("nn.Parameter | None", layer.bias)
    return Weights(pattern, values, bias, (layer.stride[0], layer.stride[1]), padding, dilation, layer.groups)
