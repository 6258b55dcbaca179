"""Linear and convolution layers that store kept weights only."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from rarefy.engines._cpu.blocked._pattern import Pattern
from rarefy.engines._cpu.blocked._weights import Geometry
from rarefy.engines._cpu.fusion._deferred import plain, shape_of
from rarefy.engines._cpu.fusion._eager import keep_eager
from rarefy.engines._cpu.fusion._limits import can_read, may_use_kernels
from rarefy.engines._cpu.fusion._read_only import READ_ONLY, ReadOnlyWeight
from rarefy.engines._cpu.fusion._scope import is_open, load_functions
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

    @property
    def weight(self) -> Tensor:
        """The whole weight, read-only: kept values in their places, 0 elsewhere. Train `values` instead."""
        return ReadOnlyWeight.of(self._dense_weight())

    @weight.setter
    def weight(self, value: Any) -> None:
        raise InvalidInput(READ_ONLY)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """As any module; the whole weight is none of this layer's parameters."""
        if name == "weight":
            raise InvalidInput(READ_ONLY)
        super().register_parameter(name, param)

    def __prepare_scriptable__(self) -> nn.Module:
        raise InvalidInput(
            "torch.jit.script cannot compile layers that store kept weights only. Call "
            "rarefy.use_dense(model, sparsity) first, which makes them dense; torch.export and torch.jit.trace take "
            "the model as it is."
        )

    def geometry(self) -> Geometry:
        """How the kept weights lie over the input, by the layer's options as they are now."""
        raise NotImplementedError

    def compute(self, inputs: Tensor) -> Tensor:
        """Outputs of the kernels, deferred, for inputs that are `fast`; what torch's own function gives for others."""
        geometry = self.geometry()
        if not self.fast(inputs, geometry):
            return geometry.dense_by(self._dense_weight(), plain(inputs), self.bias)
        convolve = load_functions().convolve
        outputs: Tensor = convolve(geometry, inputs, self.values, self.bias, moments=self.training)
        return outputs

    def fast(self, inputs: Tensor, geometry: Geometry) -> bool:
        """Whether the kernels can take this input; else torch computes with the whole weight."""
        values, bias = self.values, self.bias
        return (
            can_read(inputs)
            and can_read(values)
            and (bias is None or can_read(bias))
            and may_use_kernels()
            and geometry.fits(shape_of(inputs))
            and len(values) == self.pattern.nnz
            and not (self.dense_gradient and torch.is_grad_enabled() and values.requires_grad)
        )

    def _hand_on(self, inputs: Tensor) -> Tensor:
        """Outputs as they may leave the layer: deferred where a fused model runs."""
        if torch.compiler.is_compiling():
            if torch.compiler.is_exporting():
                return self.geometry().dense_by(self._dense_weight(), inputs, self.bias)
            return self._compute_eagerly(inputs)
        outputs = self.compute(inputs)
        return outputs if is_open() else plain(outputs)

    @keep_eager  # kernels are compiled already
    def _compute_eagerly(self, inputs: Tensor) -> Tensor:
        return plain(self.compute(inputs))

    def _dense_weight(self) -> Tensor:
        weight = self.pattern.scatter(self.values)
        if self.dense_gradient and weight.requires_grad:
            weight.register_hook(self._keep)  # type: ignore[no-untyped-call]
        return weight

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

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [..., in features] to outputs [..., out features]."""
        if len(shape_of(inputs)) < 3:
            return self._hand_on(inputs)
        return plain(self._hand_on(inputs.reshape(-1, inputs.shape[-1]))).view(*inputs.shape[:-1], -1)

    def geometry(self) -> Geometry:
        """That of a 1x1 convolution of an image of one pixel."""
        return Geometry(self.pattern)

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

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] or [C, H, W] to feature maps."""
        return plain(self._hand_on(images[None]))[0] if len(shape_of(images)) == 3 else self._hand_on(images)

    def geometry(self) -> Geometry:
        """How the kept weights lie over the images."""
        return Geometry.of(self.pattern, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Sizes and count, for people."""
        outputs, inputs, *kernel = self.pattern.shape
        return (
            f"{inputs * self.groups}, {outputs}, kernel_size={tuple(kernel)}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, "
            f"kept={self.pattern.nnz}"
        )
