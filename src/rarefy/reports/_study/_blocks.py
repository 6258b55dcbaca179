"""What the report is made of: sections of figures, tables and lines of text, and how numbers are said in them."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Note
from rarefy.reports._study._describe import Figure
from rarefy.reports._study._tables import Table


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures side by side, with a heading or none."""

    kind: ClassVar[str] = "figures"
    heading: str
    figures: Sequence[Figure]


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table among blocks."""

    kind: ClassVar[str] = "table"
    table: Table


@dataclasses.dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]
    open: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and what there is to say of them."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


Block = Figures | Sheet | Fold | Note | Facts


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, heading, what its numbers mean, and what it shows."""

    anchor: str
    title: str
    about: str
    blocks: Sequence[Block]

    def walk(self) -> Iterator[Block]:
        """All blocks, those inside of folds included."""
        yield from _walk(self.blocks)


def _walk(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _walk(block.blocks)


def slug(*texts: str) -> str:
    """A name for files, any system's, that no other texts have: what cannot stand in it is told by a checksum.

    Example:
        >>> slug("accuracy", "vgg16 on cifar10 lr=0.1"), slug("pgd:steps=50")
        ('accuracy-vgg16-on-cifar10-lr=0.1', 'pgd-steps=50-5ebb29')
    """
    text = "-".join(texts)
    plain = re.sub(r"[^A-Za-z0-9._=]+", "-", text).strip("-.")
    odd = re.search(r"[^A-Za-z0-9._=, -]", text)
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}" if odd else plain


def sayer(*, points: bool) -> Callable[[float | None], str]:
    """How a metric is said: in percent, or with four digits."""
    return words.percent if points else words.number


def spread(mean: float, half: float | None, *, points: bool, sign: str = "") -> str:
    """``92.31 ± 0.40``: in percent without the sign, or with four digits."""
    if points:
        return f"{100 * mean:{sign}z.2f}" + (f" ± {100 * half:.2f}" if half is not None else "")
    return f"{mean:{sign}z.4g}" + (f" ± {half:.2g}" if half is not None else "")


def share(density: float) -> str:
    """A density and the sparsity it is, as a reader of papers knows it: ``density 10% (sparsity 90%)``."""
    return f"density {100 * density:.3g}% (sparsity {100 * (1 - density):.4g}%)"


def seeds(count: int) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} seed{'s' * (count != 1)}"
