"""The protocol of a redistribution rule and the registry of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rarefy.registry import Registry
from rarefy.topology._update import Layer, Scope


class Redistribution(Protocol):
    """A rule for how many weights each layer grows: a frozen dataclass registered in ``REDISTRIBUTIONS``."""

    @property
    def needs(self) -> frozenset[str]:
        """What the layers must carry: a subset of ``{"gradient", "momentum"}``."""
        ...

    @property
    def scope(self) -> Scope:
        """``"layer"`` if every layer grows as many as it dropped, else ``"network"``."""
        ...

    def fractions(self, layers: Sequence[Layer], fraction: float) -> dict[str, float]:
        """Computes the fraction of its weights that each layer drops, given the schedule's ``fraction``."""
        ...

    def __call__(self, layers: Sequence[Layer], dropped: Mapping[str, int]) -> dict[str, int]:
        """Computes how many weights each layer grows; they add up to all that were dropped."""
        ...


REDISTRIBUTIONS: Registry[Redistribution] = Registry("redistribution", "redistributions")
