"""Reads the states of the global random generators, to notice that a forward draws from them."""

from __future__ import annotations

import random

import numpy as np
import torch


def read_generators() -> tuple[object, ...]:
    """Reads the states of the generators of Python, torch and numpy, for a comparison.

    Example:
        >>> before = read_generators()
        >>> _ = random.random()
        >>> read_generators() == before
        False
    """
    return random.getstate(), torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state())
