"""Linear and convolution layers that store kept weights only."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from rarefy.engines._cpu.blocked._geometry import Geometry
from rarefy.engines._cpu.blocked._indices import KeptIndices
from rarefy.engines._cpu.fusion._deferred import get_shape, to_plain
from rarefy.engines._cpu.fusion._eager import keep_eager
from rarefy.engines._cpu.fusion._limits import can_read
from rarefy.engines._cpu.fusion._read_only import READ_ONLY, ReadOnlyWeight
from rarefy.engines._cpu.fusion._scope import is_fused_call, load_functions
from rarefy.engines._torch_internals import needs_torch_functions
from rarefy.errors import InvalidInput


class _SparseLayer(nn.Module):
    """The part that both layers share: values, kept indices, bias, and the dense gradient on request."""

    values: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, pattern: KeptIndices, values: Tensor, bias: nn.Parameter | None, *, trained: bool = True
    ) -> None:
        super().__init__()
        self.pattern = pattern
        self.values = nn.Parameter(values.contiguous(), requires_grad=trained)
        self.register_parameter("bias", bias)
        self.dense_gradient = False
        self.dense_grad: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The whole weight, read-only: kept values, 0 elsewhere. Train `values` instead."""
        return ReadOnlyWeight.of(self._dense_weight())

    @weight.setter
    def weight(self, value: Any) -> None:
        raise InvalidInput(READ_ONLY)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Registers a parameter as any module does, except the whole weight, which is not a parameter."""
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
        """Returns the geometry of the layer, by its options at this moment."""
        raise NotImplementedError

    def compute(self, inputs: Tensor) -> Tensor:
        """Computes outputs by the kernels, deferred, where they can run; else by torch's own function."""
        geometry = self.geometry()
        if not self.can_use_kernels(inputs, geometry):
            return geometry.compute_dense(self._dense_weight(), to_plain(inputs), self.bias)
        convolve = load_functions().convolve
        outputs: Tensor = convolve(geometry, inputs, self.values, self.bias, moments=self.training)
        return outputs

    def can_use_kernels(self, inputs: Tensor, geometry: Geometry) -> bool:
        """Whether the kernels can compute this input; else torch computes with the whole weight."""
        values, bias = self.values, self.bias
        return (
            can_read(inputs)
            and can_read(values)
            and (bias is None or can_read(bias))
            and not needs_torch_functions()
            and geometry.fits(get_shape(inputs))
            and len(values) == self.pattern.nnz
            and not (self.dense_gradient and torch.is_grad_enabled() and values.requires_grad)
        )

    def _compute_output(self, inputs: Tensor) -> Tensor:
        """Computes outputs that may leave the layer: deferred only within a fused model's forward."""
        if torch.compiler.is_compiling():
            if torch.compiler.is_exporting():
                return self.geometry().compute_dense(self._dense_weight(), inputs, self.bias)
            return self._compute_eagerly(inputs)
        outputs = self.compute(inputs)
        return outputs if is_fused_call() else to_plain(outputs)

    @keep_eager  # the kernels are compiled already
    def _compute_eagerly(self, inputs: Tensor) -> Tensor:
        return to_plain(self.compute(inputs))

    def _dense_weight(self) -> Tensor:
        weight = self.pattern.scatter(self.values)
        if self.dense_gradient and weight.requires_grad:
            weight.register_hook(self._add_dense_grad)  # type: ignore[no-untyped-call]
        return weight

    def _add_dense_grad(self, gradient: Tensor) -> None:
        gradient = gradient.detach()
        self.dense_grad = gradient.clone() if self.dense_grad is None else self.dense_grad + gradient


class SparseLinear(_SparseLayer):
    """A linear layer of kept weights only. Make it with `from_dense`.

    Args:
        pattern: Indices of the kept weights.
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
        """Makes a layer with the kept weights of a linear layer; the bias Parameter itself is shared."""
        pattern = KeptIndices(mask)
        return cls(pattern, pattern.gather(module.weight.detach()), module.bias, trained=module.weight.requires_grad)

    def to_dense(self) -> nn.Linear:
        """Makes a linear layer: kept weights bit for bit, others exactly 0; the bias Parameter itself is shared."""
        outputs, inputs = self.pattern.shape
        dense = nn.Linear(inputs, outputs, bias=False, device="meta")
        dense.weight = nn.Parameter(self.pattern.scatter(self.values.detach()), self.values.requires_grad)
        dense.bias = self.bias  # type: ignore[assignment]
        return dense.train(self.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Computes outputs [..., out features] of inputs [..., in features]."""
        if len(get_shape(inputs)) < 3:
            return self._compute_output(inputs)
        return to_plain(self._compute_output(inputs.reshape(-1, inputs.shape[-1]))).view(*inputs.shape[:-1], -1)

    def geometry(self) -> Geometry:
        """Returns the geometry of a 1x1 convolution of an image of one pixel."""
        return Geometry(self.pattern)

    def extra_repr(self) -> str:
        """Shows sizes and count."""
        outputs, inputs = self.pattern.shape
        return f"in_features={inputs}, out_features={outputs}, bias={self.bias is not None}, kept={self.pattern.nnz}"


class SparseConv2d(_SparseLayer):
    """A 2-D convolution of kept weights only. Make it with `from_dense`.

    Args:
        pattern: Indices of the kept weights; shape [out, in / groups, rows, columns].
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
        pattern: KeptIndices,
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
        """Makes a layer with the kept weights of a convolution; the bias Parameter itself is shared.

        Raises:
            ValueError: If the padding mode is not "zeros".
        """
        if module.padding_mode != "zeros":
            raise InvalidInput(
                f"A sparse convolution pads with zeros only; got padding_mode={module.padding_mode!r}. Keep it dense."
            )
        pattern = KeptIndices(mask)
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
        """Makes a convolution: kept weights bit for bit, others exactly 0; the bias Parameter itself is shared."""
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
        """Computes the feature maps of images [N, C, H, W] or [C, H, W]."""
        return (
            to_plain(self._compute_output(images[None]))[0]
            if len(get_shape(images)) == 3
            else self._compute_output(images)
        )

    def geometry(self) -> Geometry:
        """Returns the geometry of the convolution."""
        return Geometry.of(self.pattern, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Shows sizes and count."""
        outputs, inputs, *kernel = self.pattern.shape
        return (
            f"{inputs * self.groups}, {outputs}, kernel_size={tuple(kernel)}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, "
            f"kept={self.pattern.nnz}"
        )
