"""The 2:4 pattern: of four neighbours two are kept, in the rows of a weight and in its columns alike.

A weight is treated as the matrix ``[outputs, inputs * kernel]`` that multiplies the inputs. The backward pass
multiplies by the transposed matrix. A mask is therefore 2:4 along rows and along columns, so that both passes use
sparse kernels: each block of 4 x 4 keeps two weights in every row and in every column. There are 90 such blocks
(Hubara et al., 2021, arXiv:2102.08124), and each is as likely as any other.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rarefy.masks._hash import Scores, derive_mask_key, generate_scores
from rarefy.masks._masks import Shape
from rarefy.masks._patterns._registry import PATTERNS

_SIDE, _KEPT = 4, 2


@PATTERNS.register("semi_structured")
@dataclasses.dataclass(frozen=True)
class SemiStructured:
    """Two of every four neighbours, in rows and in columns; for layers that keep half of their weights.

    References:
        Mishra et al., 2021, arXiv:2104.08378 (rows); Hubara et al., 2021, arXiv:2102.08124 (both).
    """

    spelling: ClassVar[str] = "2:4"
    form: ClassVar[str] = "2:4"
    examples: ClassVar[tuple[str, ...]] = ("2:4",)
    is_redrawn: ClassVar[bool] = False
    requirement: ClassVar[str] = (
        "outputs, and inputs times kernel, that are multiples of 4, and exactly half of the weights: density 0.5 with "
        "the allocation 'uniform'"
    )

    @property
    def name(self) -> str:
        """The canonical name."""
        return "2:4"

    def fits(self, shape: Shape, kept: int) -> bool:
        """Whether both sides of the matrix are multiples of four, and half of it is kept."""
        return _fits_blocks(shape) and 2 * kept == math.prod(shape)

    def draw(self, name: str, shape: Shape, kept: int, seed: int) -> Tensor:
        """Draws the mask of a layer: score ``i`` chooses block ``i`` (in row-major order)."""
        rows, columns = shape[0], math.prod(shape[1:])
        chosen = np.empty(rows * columns // _SIDE**2, np.int64)
        kinds = _list_blocks()
        for start, score in generate_scores(derive_mask_key(seed, name), len(chosen)):
            chosen[start : start + len(score)] = _scale_score(score, len(kinds))
        blocks = kinds[chosen].reshape(rows // _SIDE, columns // _SIDE, _SIDE, _SIDE)
        return torch.from_numpy(blocks.swapaxes(1, 2).reshape(shape).copy())


def is_semi_structured(mask: Tensor) -> bool:
    """Whether a mask keeps at most two of every four neighbours, in rows and in columns.

    Args:
        mask: Bool tensor ``[outputs, inputs, ...]``; everything behind the first dimension counts as one row.

    Example:
        >>> block = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]).bool()
        >>> is_semi_structured(block), is_semi_structured(block[:, [0, 0, 0, 2]])
        (True, False)

    References:
        Mishra et al., 2021, arXiv:2104.08378 (rows); Hubara et al., 2021, arXiv:2102.08124 (both).
    """
    if not _fits_blocks(tuple(mask.shape)):
        return False
    blocks = _blocks(mask.flatten(1))
    return all(bool((blocks.sum(side) <= _KEPT).all()) for side in (1, 3))


def _fits_blocks(shape: Shape) -> bool:
    """Whether both sides of the matrix are multiples of four."""
    return len(shape) > 1 and shape[0] % _SIDE == 0 and math.prod(shape[1:]) % _SIDE == 0


def _blocks(matrix: Tensor) -> Tensor:
    """``[rows / 4, 4, columns / 4, 4]``."""
    rows, columns = matrix.shape
    return matrix.view(rows // _SIDE, _SIDE, columns // _SIDE, _SIDE)


def _scale_score(score: Scores, parts: int) -> Scores:
    """``floor(score * parts / 2**64)``, in two steps that fit into 64 bits."""
    low = (score & np.uint64(0xFFFFFFFF)) * np.uint64(parts) >> np.uint64(32)
    return ((score >> np.uint64(32)) * np.uint64(parts) + low) >> np.uint64(32)


@functools.cache
def _list_blocks() -> NDArray[np.bool_]:
    """Lists all blocks, ``[90, 4, 4]``, in the order of the columns that their rows keep."""
    rows = list(itertools.combinations(range(_SIDE), _KEPT))
    blocks = np.zeros((len(rows) ** _SIDE, _SIDE, _SIDE), np.bool_)
    for block, pairs in zip(blocks, itertools.product(rows, repeat=_SIDE), strict=True):
        for row, pair in zip(block, pairs, strict=True):
            row[list(pair)] = True
    kinds: NDArray[np.bool_] = blocks[(blocks.sum(1) == _KEPT).all(1)]
    return kinds
