"""The code blocks of a Markdown page, and what the comment before a block says about it. Standard library only.

A comment in the line above a fence holds marks, separated by semicolons:

    <!-- file: sweep.yaml -->       a reader saves this block under that name
    <!-- skip: needs CIFAR-10 -->   the block is checked, but cannot be run here
    <!-- slow -->                   the block is run by the slow tests only
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

KINDS = ("bash", "json", "python", "text", "yaml")
MARKS = ("file", "skip", "slow")
_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|:{3,})(?P<kind>.*)")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: The page.
        line: Number of its first line of code.
        kind: The language behind the opening fence.
        text: The code.
        marks: What the comment above says.
    """

    page: Path
    line: int
    kind: str
    text: str
    marks: Mapping[str, str]

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"


def read_blocks(page: Path) -> Iterator[Block]:
    """Reads the blocks of a page from top to bottom; those in MyST directives (``{toctree}``) are left out."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.fullmatch(lines[number])
        if opening is None:
            number += 1
            continue
        start = number + 1
        end = next(n for n in range(start, len(lines)) if lines[n].strip() == opening["fence"])
        indent = len(opening["indent"])
        if not opening["kind"].startswith("{"):
            text = "\n".join(line[indent:] for line in lines[start:end]) + "\n"
            yield Block(page, start + 1, opening["kind"], text, _parse_marks(lines[number - 1] if number else ""))
        number = end + 1


def find_unfenced_code(page: Path) -> list[int]:
    """Finds the lines of code blocks that are indented instead of fenced."""
    found, fence = [], ""
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        opening = _FENCE.fullmatch(line)
        if opening and (not fence or line.strip() == fence):
            fence = "" if fence else opening["fence"]
        elif not fence and re.match(r" {4}\S", line) and not lines[number - 2].strip():
            before = next((other for other in reversed(lines[: number - 1]) if re.match(r"\S", other)), "")
            if not re.match(r"([-*+]|\d+\.) ", before):  # else a paragraph of a list
                found.append(number)
    return found


def _parse_marks(line: str) -> dict[str, str]:
    comment = re.fullmatch(r"<!-- ((?:file|skip|slow).*) -->", line.strip())
    words = [word.strip().partition(":") for word in comment[1].split(";")] if comment else []
    return {name: value.strip() for name, _, value in words}
