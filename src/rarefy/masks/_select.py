"""Selection of the k smallest scores of n in one pass, without holding n scores in memory.

Scores are nearly uniform, so the k-th smallest is close to k/n * 2**64. Scores well below are kept at once; only those
in a window around that threshold are collected and sorted. If the k-th smallest is outside the window, the window is
widened and the pass repeated, so the result is always that of a full sort.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.masks._hash import Scores, generate_scores

_WINDOW = 8.0  # half-width in standard deviations of the k-th smallest score: a miss is practically impossible
_WIDEN = 16.0
_TOP = (1 << 64) - 1

Bools = NDArray[np.bool_]
Candidates = tuple[NDArray[np.int64], Scores]


def mark_smallest(key: int, n: int, k: int, among: Tensor | None = None) -> Tensor:
    """Marks the ``k`` of ``n`` indices whose scores under ``key`` are the smallest.

    Args:
        key: 64-bit key of the scores, from ``mask_key`` or any other integer (taken modulo 2**64).
        n: How many indices there are.
        k: How many to mark.
        among: If given, a flat bool tensor ``[n]`` on any device: only indices where it is True may be marked.

    Returns:
        A bool tensor ``[n]`` on the CPU with exactly ``k`` True.

    Raises:
        ValueError: If ``among`` is not a bool tensor ``[n]``, or there are fewer than ``k`` indices to choose from.

    Example:
        >>> mark_smallest(0, 8, 3).tolist()
        [False, False, True, False, True, False, True, False]
        >>> mark_smallest(0, 8, 1, among=torch.arange(8) < 2).tolist()
        [False, True, False, False, False, False, False, False]
    """
    allowed = None if among is None else _flatten_candidates(among, n)
    pool = n if allowed is None else int(np.count_nonzero(allowed))
    if not 0 <= k <= pool:
        raise InvalidInput(f"Cannot choose {k} of {pool} weights: choose between 0 and {pool}.")
    if k in (0, pool):
        return torch.from_numpy(np.full(n, k > 0) if allowed is None else allowed & (k > 0))
    marked = np.empty(n, np.bool_)
    window = _WINDOW
    while not _attempt(marked, key, k, _compute_window(k, pool, window), allowed):
        window *= _WIDEN
    return torch.from_numpy(marked)


def mark_random(key: int, candidates: Tensor, k: int) -> Tensor:
    """Picks ``k`` of the candidates at random: those with the smallest scores under ``key``, the same on every machine.

    Args:
        key: Any integer (taken modulo 2**64), for instance ``rng.derive_seed(seed, "topology", step, name)``.
        candidates: Bool tensor of any shape on any device, True where an element may be picked.
        k: How many to pick.

    Returns:
        A bool tensor of the shape and on the device of ``candidates`` with exactly ``k`` True.

    Raises:
        ValueError: If ``candidates`` is not bool or holds fewer than ``k`` True.

    Example:
        >>> candidates = torch.tensor([[True, False], [True, True]])
        >>> picked = mark_random(17, candidates, 2)
        >>> int(picked.sum()), bool((picked & ~candidates).any())
        (2, False)
    """
    picked = mark_smallest(key, candidates.numel(), k, among=candidates.flatten())
    return picked.view(candidates.shape).to(candidates.device)


def _flatten_candidates(among: Tensor, n: int) -> Bools:
    if among.dtype != torch.bool or tuple(among.shape) != (n,):
        raise InvalidInput(f"Candidates must be a bool tensor of shape ({n},), not {among.dtype} {tuple(among.shape)}.")
    flat: Bools = among.detach().cpu().contiguous().numpy()
    return flat


def _compute_window(k: int, pool: int, window: float) -> tuple[int, int]:
    """First and last score of the window: k/pool plus and minus some standard deviations and some whole scores."""
    reach = window * (math.sqrt(k * (1 - k / pool)) + 1) / pool
    low, high = (int((k / pool + side * reach) * 2**64) for side in (-1, 1))
    return max(low, 0), min(high, _TOP)


def _attempt(marked: Bools, key: int, k: int, window: tuple[int, int], allowed: Bools | None) -> bool:
    """Marks the k smallest if the k-th one lies in the window; says whether it did."""
    below, (index, score) = _split_scores(marked, key, window, allowed)
    missing = k - below
    if not 0 <= missing <= len(index):
        return False
    order = np.argsort(score)
    marked[index[order[:missing]]] = True
    return True


def _split_scores(marked: Bools, key: int, window: tuple[int, int], allowed: Bools | None) -> tuple[int, Candidates]:
    """Marks every score below the window; returns how many those are, and the indices and scores within the window."""
    low, width = np.uint64(window[0]), np.uint64(window[1] - window[0])
    below, indices, values = 0, [], []
    for start, score in generate_scores(key, len(marked)):
        part = slice(start, start + len(score))
        np.less(score, low, out=marked[part])
        inside = score - low <= width  # unsigned: what is below the window wraps to the top
        if allowed is not None:
            marked[part] &= allowed[part]
            inside &= allowed[part]
        below += int(np.count_nonzero(marked[part]))
        inside_indices = np.flatnonzero(inside)
        indices.append(inside_indices + start)
        values.append(score[inside_indices])
    return below, (np.concatenate(indices), np.concatenate(values))
