"""Reads YAML within limits, as plain values."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from rarefy.documents._text import DEEPEST, TOO_DEEP, describe_fault, make_document_error, read_text, require_plain

MOST_YAML = 2**20
"""Bytes of the largest YAML file that is read; people write these, and reading is slow."""
MOST_NODES = 200_000
"""Values in a YAML text, those of an alias counted each time it stands there."""

_KINDS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
_TAG = "tag:yaml.org,2002:"
_AS_TEXT = {f"{_TAG}timestamp", f"{_TAG}value"}

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, several times faster


def read_yaml(path: Path) -> Any:
    """Reads a YAML file, as `parse_yaml` does.

    Raises:
        DocumentError: If it cannot be read as text or is not such YAML; it names the file.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.yaml"
        >>> _ = file.write_text("released: 2026-11-29")
        >>> read_yaml(file)
        {'released': '2026-11-29'}
    """
    return parse_yaml(read_text(path, most=MOST_YAML), str(path))


def parse_yaml(text: str, source: str) -> Any:
    """Reads YAML as lists, mappings, text, numbers, true, false and null; a date is text, keys are unique.

    Args:
        text: The text.
        source: What an error calls it.

    Raises:
        DocumentError: If it is not such YAML, is nested deeper than `DEEPEST`, or has more values than `MOST_NODES`.

    Example:
        >>> parse_yaml("{a: 1, a: 2}", "sweep.yaml")
        Traceback (most recent call last):
        ...
        rarefy.documents._text.DocumentError: sweep.yaml cannot be read as YAML: line 1, column 8: 'a' is there twice.
    """
    try:
        value = _load(text)
        require_plain(value)
    except yaml.YAMLError as error:
        raise make_document_error(source, _yaml_fault(error), "YAML") from None
    except ValueError as error:
        raise make_document_error(source, describe_fault(error), "YAML") from None
    return value


class _Loader(_Parser):  # type: ignore[misc]  # either of two
    """Constructs plain values; keys are unique."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in result if tag not in _AS_TEXT]
        for first, result in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_TAG) in _KINDS
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Rejects duplicate keys, before other mappings (``<<``) are merged in."""
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = key_node.value if key_node.tag == f"{_TAG}merge" else self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _fault("a key is text or a number, not a list or a mapping", key_node.start_mark)
            if key in seen:
                raise _fault(f"{key!r} is there twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _load(text: str) -> Any:
    _check_events(text)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {}, DEEPEST)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_events(text: str) -> None:
    """Rejects tags and deep nesting in the event stream, because the parser is recursive."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Parser)):
        if number > MOST_NODES:
            raise _fault(f"it has more than {MOST_NODES} values", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _fault(TOO_DEEP, event.start_mark)
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", f"{_TAG}str"):
            raise _fault(f"the tag {tag!r} is not read: values are lists, mappings, text and numbers", event.start_mark)


def _count_values(node: Any, known: dict[int, int], deepest: int) -> int:
    """Counts the values in a node with its aliases expanded; a node that contains itself is rejected as too deep."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        if deepest == 0:
            raise _fault("its aliases are nested too deeply", node.start_mark)
        pairs = isinstance(node, yaml.MappingNode)
        parts = [part for pair in node.value for part in pair] if pairs else node.value
        known[id(node)] = 1 + sum(_count_values(part, known, deepest - 1) for part in parts)
        if known[id(node)] > MOST_NODES:
            raise _fault(f"it has more than {MOST_NODES} values, with its aliases written out", node.start_mark)
    return known[id(node)]


def _fault(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _yaml_fault(error: Any) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if not mark or not problem:
        return " ".join(str(error).split())
    context = f"{error.context}, " if error.context else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {context}{problem}"
