"""Escapes control characters in text from files."""

from __future__ import annotations

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def plain(text: str) -> str:
    r"""Spells out control characters, so that text from a file cannot move the cursor or colour the terminal.

    Example:
        >>> print(plain("\x1b[31mred\x1b[0m"))
        \x1b[31mred\x1b[0m
    """
    return text.translate(_CONTROLS)
