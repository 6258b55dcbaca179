"""The protocol of a pattern, the registry of patterns, and ``parse_pattern``, which reads their names."""

from __future__ import annotations

import re
import typing
from typing import ClassVar, Protocol

from torch import Tensor

from rarefy.masks._masks import Shape
from rarefy.registry import Registry, construct, make_unknown_error, normalize_name


class Pattern(Protocol):
    """A structure of masks: a frozen dataclass registered in ``PATTERNS``, whose fields are numbers in its name.

    Attributes:
        spelling: Regular expression of the pattern's names, without case, ``-`` and ``_``; named groups are fields.
        form: How a name is written, for people: ``"out<size>"``.
        examples: Names that work; they are listed, and the nearest is suggested, where a name is unknown.
        is_redrawn: Whether masks in a file are a seed, from which they are drawn again, and not bits.
        requirement: What a layer needs to have the pattern, for people.
    """

    spelling: ClassVar[str]
    form: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]
    is_redrawn: ClassVar[bool]
    requirement: ClassVar[str]

    @property
    def name(self) -> str:
        """The canonical name: ``parse_pattern(pattern.name) == pattern``."""
        ...

    def fits(self, shape: Shape, kept: int) -> bool:
        """Whether a layer that keeps so many weights can have the pattern."""
        ...

    def draw(self, name: str, shape: Shape, kept: int, seed: int) -> Tensor:
        """Draws the mask of a layer that fits: bool, on the CPU, with exactly ``kept`` True, nested over ``kept``."""
        ...


PATTERNS: Registry[Pattern] = Registry("pattern", "patterns")


def parse_pattern(name: str) -> Pattern:
    """Parses the name of a pattern; case, ``-`` and ``_`` do not matter.

    Args:
        name: ``"unstructured"``, ``"2:4"``, ``"out8"``, ``"in4"``, ``"kernel"``, or that of a plug-in.

    Raises:
        UnknownName: If no pattern has such a name; says which names work.
        UnknownOption: If a number in the name does not fit.

    Example:
        >>> parse_pattern("out8")
        Outputs(size=8)
        >>> parse_pattern("Out_8").name
        'out8'
    """
    kinds = [typing.cast(type[Pattern], PATTERNS.get(kind)) for kind in PATTERNS.names()]
    for kind in kinds:
        if match := re.fullmatch(kind.spelling, normalize_name(name.strip())):
            pattern: Pattern = construct(kind, f"pattern {name!r}", match.groupdict())
            return pattern
    raise make_unknown_error("pattern", name, [example for kind in kinds for example in kind.examples])
