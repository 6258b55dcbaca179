"""Reads JSON within limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from rarefy.documents._text import TOO_DEEP, describe_fault, make_document_error, read_text, require_plain
from rarefy.errors import InvalidInput


def read_json(path: Path) -> Any:
    """Reads a JSON file, as `parse_json` does.

    Raises:
        DocumentError: If it cannot be read as text or is not such JSON; it names the file.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.json"
        >>> _ = file.write_text("[1, 2]")
        >>> read_json(file)
        [1, 2]
    """
    return parse_json(read_text(path), str(path))


def parse_json(text: str, source: str) -> Any:
    """Reads JSON: numbers are finite, keys are unique, and nothing is nested deeper than `DEEPEST`.

    Args:
        text: The text.
        source: What an error calls it.

    Raises:
        DocumentError: If it is not such JSON.

    Example:
        >>> parse_json('{"loss": NaN}', "a")
        Traceback (most recent call last):
        ...
        rarefy.documents._text.DocumentError: a cannot be read as JSON: it holds NaN, which is not a number in JSON.
    """
    try:
        value = json.loads(
            text, parse_constant=_reject_constant, parse_float=_parse_finite, object_pairs_hook=_reject_duplicates
        )
        require_plain(value)
    except RecursionError:
        raise make_document_error(source, TOO_DEEP, "JSON") from None
    except ValueError as error:
        raise make_document_error(source, describe_fault(error), "JSON") from None
    return value


def _reject_constant(constant: str) -> NoReturn:
    raise InvalidInput(f"it holds {constant}, which is not a number in JSON")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidInput(f"it holds {text[:40]}, which is too large a number")
    return number


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise InvalidInput(f"{name[:80]!r} is there twice")
        result[name] = value
    return result
