"""The k best of many, exactly: equal scores go to the lower flat index, on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def compute_magnitude(values: Tensor) -> Tensor:
    """Absolute values, in at least single precision, so that sums and products of them neither overflow nor vanish.

    Example:
        >>> compute_magnitude(torch.tensor([-2.0, 1.0], dtype=torch.bfloat16))
        tensor([2., 1.])
    """
    return values.abs().to(torch.promote_types(values.dtype, torch.float32))


def mark_highest(scores: Tensor, among: Tensor, count: int) -> Tensor:
    """Marks the ``count`` elements of ``among`` with the mark_highest scores.

    Args:
        scores: Finite scores, any shape.
        among: Bool tensor of that shape: what may be marked; at least ``count`` True.
        count: How many to mark.

    Returns:
        A bool tensor of that shape with exactly ``count`` True. Of equal scores the lower flat index wins.

    Example:
        >>> mark_highest(torch.tensor([1.0, 2.0, 2.0, 9.0]), torch.tensor([True, True, True, False]), 1).tolist()
        [False, True, False, False]
    """
    marked = torch.zeros(among.shape, dtype=torch.bool, device=among.device)
    if count == 0:
        return marked
    positions = among.flatten().nonzero().squeeze(1)
    values = scores.flatten()[positions]
    bound = values.topk(count, sorted=False).values.min()
    sure, ties = values > bound, values == bound
    ties &= ties.cumsum(0) <= count - sure.sum()
    marked.view(-1)[positions[sure | ties]] = True
    return marked


def mark_lowest(scores: Tensor, among: Tensor, count: int) -> Tensor:
    """Marks the ``count`` elements of ``among`` with the mark_lowest scores; of equal scores the lower flat index wins.

    Example:
        >>> mark_lowest(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([True, True, True]), 2).tolist()
        [True, False, True]
    """
    return mark_highest(-scores, among, count)


def mark_highest_per_row(scores: Tensor, among: Tensor, counts: Tensor) -> Tensor:
    """Marks in each row of ``among`` the elements with the mark_highest scores, as many as ``counts`` says for the row.

    Args:
        scores: Finite scores ``[rows, columns]``.
        among: Bool tensor of that shape; at least ``counts`` True in each row.
        counts: Integer tensor ``[rows]``.

    Returns:
        A bool tensor ``[rows, columns]``. Of equal scores the lower column wins.

    Example:
        >>> scores = torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])
        >>> mark_highest_per_row(scores, torch.ones(2, 3, dtype=torch.bool), torch.tensor([1, 2])).tolist()
        [[False, False, True], [True, True, False]]
    """
    most = int(counts.max())
    if most == 0:
        return torch.zeros_like(among)
    if bool((counts == among.sum(1)).all()):
        return among
    ranked = scores.masked_fill(~among, -torch.inf)
    wanted = counts.unsqueeze(1)
    bounds = ranked.topk(most, dim=1).values.gather(1, (wanted - 1).clamp(min=0))
    sure, ties = ranked > bounds, ranked == bounds
    ties &= ties.cumsum(1) <= wanted - sure.sum(1, keepdim=True)
    return (sure | ties) & (wanted > 0)
