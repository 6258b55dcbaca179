"""Indices of the kept weights of a layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._offsets import GatherOffsets, Ints, make_backward_offsets, make_forward_offsets
from rarefy.engines._cpu.blocked._tiling import Shape
from rarefy.errors import InvalidInput

_MAX_SIZES = 4  # input sizes whose offsets are stored: training and another batch, forward and backward


class KeptIndices:
    """Kept weights of a layer, as ascending flat indices.

    Args:
        mask: Bool tensor of the weight's shape, on the CPU; True where a weight is kept.

    Raises:
        ValueError: If the mask is not a bool tensor on the CPU, or is too large for int32 indices.

    Example:
        >>> kept = KeptIndices(torch.tensor([[True, False], [False, True]]))
        >>> kept.nnz, kept.indices.tolist()
        (2, [0, 3])
    """

    def __init__(self, mask: Tensor) -> None:
        self.shape = mask.shape
        self.replace_(mask)

    def replace_(self, mask: Tensor) -> None:
        """Replaces the mask by one of the same shape, with any number of kept weights; nothing is compiled again."""
        if mask.dtype != torch.bool or mask.device.type != "cpu":
            raise InvalidInput(f"A mask is a bool tensor on the CPU; got {mask.dtype} on {mask.device}.")
        if mask.shape != self.shape:
            raise InvalidInput(f"The mask must have the weight's shape {tuple(self.shape)}; got {tuple(mask.shape)}.")
        if mask.numel() >= 2**31:
            raise InvalidInput(f"A weight of {mask.numel()} elements is too large: indices are int32.")
        self.indices = mask.reshape(-1).nonzero().reshape(-1).to(torch.int32)
        self._offsets: dict[object, GatherOffsets] = {}

    @property
    def nnz(self) -> int:
        """Number of kept weights."""
        return self.indices.numel()

    @property
    def nbytes(self) -> int:
        """Bytes of all index arrays, offsets for the input sizes so far included."""
        return self.indices.nbytes + sum(offsets.nbytes for offsets in self._offsets.values())

    def mask(self) -> Tensor:
        """Returns a bool tensor of the weight's shape, True where a weight is kept."""
        mask = torch.zeros(self.shape.numel(), dtype=torch.bool)
        mask[self.indices.long()] = True
        return mask.reshape(self.shape)

    def gather(self, weight: Tensor) -> Tensor:
        """Returns the kept elements of a tensor of the weight's shape, [nnz]."""
        return weight.reshape(-1)[self.indices.long().to(weight.device)]

    def scatter(self, values: Tensor) -> Tensor:
        """Returns the whole weight: values [nnz] where kept, exactly 0 elsewhere; differentiable in the values."""
        flat = values.new_zeros(self.shape.numel())
        return flat.index_put((self.indices.long().to(values.device),), values).reshape(self.shape)

    def get_forward_offsets(self, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> GatherOffsets:
        """Returns the offsets for the forward pass and the weight gradient on inputs of these sizes."""
        return self._get_offsets(shape, chunks, make_forward_offsets)

    def get_backward_offsets(self, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> GatherOffsets:
        """Returns the offsets for the input gradient on inputs of these sizes."""
        return self._get_offsets(shape, chunks, make_backward_offsets)

    def _get_offsets(
        self,
        shape: Shape,
        chunks: tuple[tuple[int, int], ...],
        make: Callable[[Ints, Shape, tuple[tuple[int, int], ...]], GatherOffsets],
    ) -> GatherOffsets:
        key = (make.__name__, shape)
        offsets = self._offsets.get(key)
        if offsets is None:
            offsets = make(self.indices.numpy(), shape, chunks)
            latest = list(self._offsets.items())[1 - _MAX_SIZES :]
            self._offsets = dict([*latest, (key, offsets)])  # one assignment: other threads read it, too
        return offsets

    def __getstate__(self) -> dict[str, object]:
        """Leaves out the offsets, which are computed again when they are needed."""
        return {**self.__dict__, "_offsets": {}}

    def __repr__(self) -> str:
        """Shows shape and count."""
        return f"KeptIndices(shape={tuple(self.shape)}, nnz={self.nnz})"


def make_full_indices(shape: torch.Size) -> KeptIndices:
    """Makes the indices of a layer that keeps every weight.

    Example:
        >>> make_full_indices(torch.Size([2, 3])).nnz
        6
    """
    return KeptIndices(torch.ones(shape, dtype=torch.bool))
