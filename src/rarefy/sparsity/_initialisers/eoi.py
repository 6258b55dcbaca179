"""Exact orthogonal initial weights at any density."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.sparsity._initialisers._registry import INITIALISERS


@INITIALISERS.register("eoi")
@dataclasses.dataclass(frozen=True)
class ExactOrthogonal:
    """Initial weights that are exactly orthogonal, and masks that hold them: a product of random Givens rotations.

    Rotations of random pairs of columns, each by a random angle, fill the identity (in the longer side's columns) until
    the next one would have more weights than the layer keeps. The rest of the count is weights that start at 0. In a
    convolution the matrix is at the centre of the kernel, with the layer's density, and the others start at 0: this is
    delta-orthogonal. Rows are orthonormal, or columns where there are fewer of these, up to the factor ``gain``.

    Args:
        gain: Factor of the matrix, above 0; sqrt(2) keeps the variance behind ReLU.

    References:
        Nowak et al., 2024, arXiv:2406.01755, section 3, and the authors' code for what fills up the count.
    """

    title: ClassVar[str] = "EOI"
    gain: float = 1.0
    chooses_masks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise InvalidInput(f"gain is above 0; got {self.gain}.", name="gain", value=self.gain)

    def count_least(self, shape: tuple[int, ...]) -> int:
        """As many as the shorter side has units."""
        return min(shape[:2]) if len(shape) > 1 else 1

    def __call__(self, weight: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Makes the weight and its mask."""
        shape, kept = tuple(weight.shape), int(mask.count_nonzero())
        if len(shape) < 2:
            raise InvalidInput(f"A weight of shape {shape} is no matrix, so that it cannot be orthogonal: exclude it.")
        target = max(min(shape[:2]), round(kept / math.prod(shape[2:])))
        matrix, filled = compose_rotations(shape[0], shape[1], target, generator)
        centre: tuple[Any, ...] = (slice(None), slice(None), *(side // 2 for side in shape[2:]))
        values, chosen = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.bool)
        values[centre], chosen[centre] = self.gain * matrix, filled
        others = (~chosen).flatten().nonzero().flatten()
        order = torch.randperm(len(others), generator=generator)
        chosen.view(-1)[others[order[: kept - int(filled.count_nonzero())]]] = True
        return values, chosen


def compose_rotations(rows: int, columns: int, target: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Composes random Givens rotations into a matrix with at most ``target`` entries that are not 0.

    Returns:
        A float64 matrix ``[rows, columns]`` with orthonormal rows (or columns, where these are fewer), and a bool one
        that says where it is not 0.
    """
    short, long = sorted((rows, columns))
    matrix, filled = torch.eye(short, long, dtype=torch.float64), torch.eye(short, long, dtype=torch.bool)
    count = short
    while count < target and long > 1:
        pair = torch.randperm(long, generator=generator)[:2]
        angle = 2 * math.pi * torch.rand((), generator=generator, dtype=torch.float64)
        either = filled[:, pair].any(1, keepdim=True)
        count += 2 * int(either.count_nonzero()) - int(filled[:, pair].count_nonzero())
        if count > target:
            break
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        matrix[:, pair], filled[:, pair] = matrix[:, pair] @ turn, either.expand(-1, 2)
    return (matrix.T, filled.T) if rows > columns else (matrix, filled)
