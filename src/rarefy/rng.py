"""One root seed -> named, independent streams of random numbers.

A stream is a pure function of (seed, names): nothing is consumed and nothing has to be saved. What needs numbers in the
middle of a run asks for the stream of that place, e.g. ``streams("order", epoch)``, and gets the same again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 64-bit seed for the stream of that name: 8 bytes, little-endian, BLAKE2b of ``rarefy/<seed>/<names>``.

    Example:
        >>> derive_seed(17, "init") == derive_seed(17, "init") != derive_seed(17, "order")
        True
    """
    text = "/".join(["rarefy", str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Streams:
    """Named, independent generators of one root seed.

    Args:
        seed: The root seed, any integer.

    Example:
        >>> import torch
        >>> streams = Streams(17)
        >>> torch.equal(torch.rand(3, generator=streams("init")), torch.rand(3, generator=streams("init")))
        True
        >>> torch.equal(torch.rand(3, generator=streams("order", 1)), torch.rand(3, generator=streams("order", 2)))
        False
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def __call__(self, *names: str | int) -> torch.Generator:
        """A fresh CPU generator at the beginning of the named stream; the same names give the same numbers."""
        import torch  # here, so that statistics over records start without it

        return torch.Generator().manual_seed(derive_seed(self.seed, *names))
