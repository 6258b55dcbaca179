"""Which weights of a layer are kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._geometry import Shape
from rarefy.engines._cpu.blocked._offsets import Ints, Reads, backward_reads, forward_reads
from rarefy.errors import InvalidInput

_KNOWN = 4  # sizes of input whose offsets are kept: training, another batch's, both ways


class Pattern:
    """Which weights are kept, as ascending flat indices.

    Args:
        mask: Bool tensor of the weight's shape, on the CPU; True where a weight is kept.

    Raises:
        ValueError: If the mask is not a bool tensor on the CPU, or is too large for int32 indices.

    Example:
        >>> pattern = Pattern(torch.tensor([[True, False], [False, True]]))
        >>> pattern.nnz, pattern.indices.tolist()
        (2, [0, 3])
    """

    def __init__(self, mask: Tensor) -> None:
        self.shape = mask.shape
        self.replace_(mask)

    def replace_(self, mask: Tensor) -> None:
        """Takes another mask of the same shape, with as many kept weights or not; nothing is compiled anew."""
        if mask.dtype != torch.bool or mask.device.type != "cpu":
            raise InvalidInput(f"A mask is a bool tensor on the CPU; got {mask.dtype} on {mask.device}.")
        if mask.shape != self.shape:
            raise InvalidInput(f"The mask must have the weight's shape {tuple(self.shape)}; got {tuple(mask.shape)}.")
        if mask.numel() >= 2**31:
            raise InvalidInput(f"A weight of {mask.numel()} elements is too large: indices are int32.")
        self.indices = mask.reshape(-1).nonzero().reshape(-1).to(torch.int32)
        self._reads: dict[object, Reads] = {}

    @property
    def nnz(self) -> int:
        """Number of kept weights."""
        return self.indices.numel()

    @property
    def nbytes(self) -> int:
        """Bytes of all index tensors, those for the sizes of input met so far included."""
        return self.indices.nbytes + sum(reads.nbytes for reads in self._reads.values())

    def mask(self) -> Tensor:
        """Bool tensor of the weight's shape, True where a weight is kept."""
        mask = torch.zeros(self.shape.numel(), dtype=torch.bool)
        mask[self.indices.long()] = True
        return mask.reshape(self.shape)

    def gather(self, weight: Tensor) -> Tensor:
        """Kept elements of a tensor of the weight's shape, [nnz]."""
        return weight.reshape(-1)[self.indices.long().to(weight.device)]

    def scatter(self, values: Tensor) -> Tensor:
        """The whole weight: values [nnz] where kept, exactly 0 elsewhere; differentiable in the values."""
        flat = values.new_zeros(self.shape.numel())
        return flat.index_put((self.indices.long().to(values.device),), values).reshape(self.shape)

    def forward_reads(self, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> Reads:
        """Offsets for the forward pass and the weight gradient on input of these sizes."""
        return self._known(shape, chunks, forward_reads)

    def backward_reads(self, shape: Shape, chunks: tuple[tuple[int, int], ...]) -> Reads:
        """Offsets for the input gradient on input of these sizes."""
        return self._known(shape, chunks, backward_reads)

    def _known(
        self,
        shape: Shape,
        chunks: tuple[tuple[int, int], ...],
        make: Callable[[Ints, Shape, tuple[tuple[int, int], ...]], Reads],
    ) -> Reads:
        key = (make.__name__, shape)
        reads = self._reads.get(key)
        if reads is None:
            reads = make(self.indices.numpy(), shape, chunks)
            latest = list(self._reads.items())[1 - _KNOWN :]
            self._reads = dict([*latest, (key, reads)])  # put in place at once: other threads read it, too
        return reads

    def __getstate__(self) -> dict[str, object]:
        """Offsets are worked out again where they are needed."""
        return {**self.__dict__, "_reads": {}}

    def __repr__(self) -> str:
        """Shape and count, for people."""
        return f"Pattern(shape={tuple(self.shape)}, nnz={self.nnz})"


def full(shape: torch.Size) -> Pattern:
    """The pattern that keeps everything.

    Example:
        >>> full(torch.Size([2, 3])).nnz
        6
    """
    return Pattern(torch.ones(shape, dtype=torch.bool))
