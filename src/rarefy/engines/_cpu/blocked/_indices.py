"""Indices of the kept weights of a layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._groups import Chunks, GroupOffsets, Groups, find_groups, make_group_offsets
from rarefy.engines._cpu.blocked._offsets import (
    BackwardOffsets,
    ForwardOffsets,
    Kept,
    choose_dtype,
    make_backward_offsets,
    make_forward_offsets,
)
from rarefy.engines._cpu.blocked._tiling import Shape
from rarefy.errors import InvalidInput

_MAX_SIZES = 2  # input sizes whose offsets are stored: training and another one


class KeptIndices:
    """Kept weights of a layer, as ascending positions within each output's weights.

    They take 2 bytes per kept weight, and the offsets of a convolution 2 more for each of the last two input sizes.
    Rows of weights that have more than 65536 positions take twice as much.

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
        by_output = mask.reshape(mask.shape[0], -1)
        counts = by_output.count_nonzero(1).numpy()
        positions = by_output.nonzero()[:, 1].numpy().astype(choose_dtype(by_output.shape[1]))
        self.kept = Kept(np.concatenate([[0], counts.cumsum()]).astype(np.int32), positions)
        self._groups: list[Groups | None] = []  # looked for at the first pass, which knows the kernels
        self._grouped: list[dict[Shape, GroupOffsets]] = [{}, {}]  # for the forward and the backward pass
        self._forward: dict[Shape, ForwardOffsets] = {}
        self._backward: dict[Shape, BackwardOffsets] = {}

    @property
    def indices(self) -> Tensor:
        """Ascending flat indices of the kept weights, int32, computed from the positions."""
        rows, positions = self.kept
        first = np.arange(len(rows) - 1, dtype=np.int32) * np.int32(self.shape[1:].numel())
        return torch.from_numpy(np.repeat(first, np.diff(rows)) + positions.astype(np.int32))

    @property
    def nnz(self) -> int:
        """Number of kept weights."""
        return len(self.kept.positions)

    @property
    def nbytes(self) -> int:
        """Bytes of all index arrays, offsets for the input sizes so far included."""
        arrays: list[Any] = [*self.kept, *(groups for groups in self._groups if groups)]
        by_size: list[dict[Shape, Any]] = [self._forward, self._backward, *self._grouped]
        offsets: list[int] = [entry.nbytes for entries in by_size for entry in entries.values()]
        return sum(offsets, sum(int(array.nbytes) for array in arrays))

    def mask(self) -> Tensor:
        """Returns a bool tensor of the weight's shape, True where a weight is kept."""
        mask = torch.zeros(self.shape.numel(), dtype=torch.bool)
        mask[self.indices.long()] = True
        return mask.reshape(self.shape)

    def gather(self, weight: Tensor) -> Tensor:
        """Returns the kept elements of a tensor of the weight's shape, [nnz]."""
        return weight.reshape(-1)[self.indices.long().to(weight.device)]

    def scatter(self, values: Tensor) -> Tensor:
        """Returns the whole weight: values, nnz in any shape, where kept, 0 elsewhere; differentiable in the values."""
        flat = values.new_zeros(self.shape.numel())
        return flat.index_put((self.indices.long().to(values.device),), values.reshape(-1)).reshape(self.shape)

    def find_groups(self, sizes: Collection[int]) -> Groups | None:
        """Returns the groups of outputs, or of inputs, that share what they keep, of one of these sizes, if any."""
        if not self._groups:
            self._groups = [find_groups(self.mask(), sizes)]
        return self._groups[0]

    def get_group_offsets(
        self, shape: Shape, chunks: Mapping[int, Chunks], *, backward: bool = False
    ) -> GroupOffsets | None:
        """Returns the offsets of the groups on inputs of these sizes; None if it has none that the kernels can use.

        `backward`: those for the input gradient.
        """
        groups = self.find_groups(chunks)
        if groups is None:
            return None
        offsets = self._grouped[backward].get(shape)
        if offsets is None:
            offsets = make_group_offsets(groups, shape, chunks[groups.together], backward=backward)
            if offsets is None:
                return None
            self._grouped[backward] = _keep_latest(self._grouped[backward], shape, offsets)
        return offsets

    def get_forward_offsets(self, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> ForwardOffsets:
        """Returns the offsets for the forward pass and the weight gradient on inputs of these sizes."""
        offsets = self._forward.get(shape)
        if offsets is None:
            offsets = make_forward_offsets(self.kept, shape, chunks)
            self._forward = _keep_latest(self._forward, shape, offsets)
        return offsets

    def get_backward_offsets(self, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> BackwardOffsets:
        """Returns what the input gradient needs on inputs of these sizes."""
        offsets = self._backward.get(shape)
        if offsets is None:
            offsets = make_backward_offsets(self.kept, shape, chunks)
            self._backward = _keep_latest(self._backward, shape, offsets)
        return offsets

    def __getstate__(self) -> dict[str, object]:
        """Leaves out the offsets, which are computed again when they are needed."""
        return {**self.__dict__, "_forward": {}, "_backward": {}, "_grouped": [{}, {}]}

    def __repr__(self) -> str:
        """Shows shape and count."""
        return f"KeptIndices(shape={tuple(self.shape)}, nnz={self.nnz})"


def _keep_latest(entries: dict[Shape, Any], shape: Shape, offsets: object) -> dict[Shape, Any]:
    """Returns a dict with the offsets and those made last; one assignment replaces it, as other threads read it."""
    return dict([*list(entries.items())[1 - _MAX_SIZES :], (shape, offsets)])


def make_full_indices(shape: torch.Size) -> KeptIndices:
    """Makes the indices of a layer that keeps every weight.

    Example:
        >>> make_full_indices(torch.Size([2, 3])).nnz
        6
    """
    return KeptIndices(torch.ones(shape, dtype=torch.bool))
