"""Reads text files, and checks parsed values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rarefy.errors import InvalidInput

MOST_JSON = 32 * 2**20
"""Bytes of the largest JSON file that is read."""
DEEPEST = 64
"""Levels of lists and mappings inside each other."""
TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"


class DocumentError(InvalidInput):
    """A file or text that cannot be read as JSON or YAML.

    Attributes:
        source: The file, or what the text is called.
        fault: What is wrong with it.

    Example:
        >>> make_document_error("a.json", "it is empty", "JSON").fault
        'it is empty'
    """

    source: str = ""
    fault: str = ""


def read_text(path: Path, *, most: int = MOST_JSON) -> str:
    """Reads a text file in UTF-8, with or without a byte-order mark.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        DocumentError: If it is not a regular file, is longer, or is not UTF-8.
        OSError: If the system cannot read it.

    Example:
        >>> read_text(Path("."))
        Traceback (most recent call last):
        ...
        rarefy.documents._text.DocumentError: . cannot be read: it is not a file.
    """
    if not path.is_file():
        raise make_document_error(str(path), "it is not a file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise make_document_error(str(path), f"it has {path.stat().st_size} bytes, and at most {most} are read")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = f"byte {content[error.start]:#04x} at position {error.start} is not UTF-8"
        raise make_document_error(str(path), fault) from None


def make_document_error(source: str, fault: str, kind: str = "") -> DocumentError:
    """Builds the error for an unreadable file or text."""
    how = f" as {kind}" if kind else ""
    return DocumentError(f"{source} cannot be read{how}: {fault}.", source=source, fault=fault)


def describe_fault(error: ValueError) -> str:
    """Describes a parsing error in one line; replaces Python's message about its limit on digits."""
    text = str(error)
    return "a number in it has thousands of digits" if "integer string conversion" in text else text


def require_plain(value: Any) -> None:
    """Rejects values nested too deeply, and text that cannot be encoded (half of a surrogate pair)."""
    level = [value]
    for _ in range(DEEPEST + 1):
        for text in level:
            if isinstance(text, str) and not text.isascii():
                _require_unicode(text)
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise InvalidInput(TOO_DEEP)


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"the text {text[:40]!r} is not Unicode") from None


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value
