"""Names of values in records, and their paths."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rarefy.errors import RarefyError
from rarefy.flags import FLAGS
from rarefy.records._metrics import Metrics
from rarefy.records._schema import Record
from rarefy.registry import normalize_name

SHORT_NAMES = {
    "run": "id",
    "accuracy": "metrics.test.accuracy",
    "loss": "metrics.test.loss",
    "kept": "params.kept",
    "disk": "files.model.safetensors",
}
"""Short names of common values; every flag of `rarefy train` is a name, too."""

_PREFIXES = ("", "config.", "metrics.test.")


class QueryError(RarefyError, ValueError):
    """A query of records is invalid; the message says what is wrong and names similar fields."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A value that records have.

    Args:
        name: Name as the user wrote it.
        path: Dotted path in the record; a number is an index of a list, -1 the last entry.
        when: For a flag without a value: the setting that the flag stands for.
        otherwise: Whether the field is true for all settings but `when`.
    """

    name: str
    path: str
    when: Any = None
    otherwise: bool = False

    def read(self, values: Mapping[str, Any]) -> Any:
        """Returns the value in a record; None if the record does not have it."""
        value = _look_up(values, self.path.split("."))
        if self.when is None or value is None:
            return value
        return (value == self.when) is not self.otherwise


def resolve_field(name: str, rows: Sequence[Mapping[str, Any]]) -> Field:
    """Resolves a name: a short name, a flag, or a dotted path in the record, its config or its metrics.

    ``record.`` before a path means the record itself: ``record.density`` is the counted density, ``density`` the
    flag's.

    Raises:
        QueryError: If the name is unknown and no row has such a path; the message names a similar one.
    """
    if name.startswith("record."):
        candidates = [Field(name, name.removeprefix("record."))]
    elif known := _resolve_word(name):
        return known
    else:
        candidates = [Field(name, prefix + name) for prefix in _PREFIXES]
    for candidate in candidates:
        if candidate.path in _SCHEMA_PATHS or any(candidate.read(row) is not None for row in rows):
            return candidate
    for candidate in candidates:  # also fields that are None in all records, such as clip_norm
        if any(candidate.path in _list_paths(row) for row in rows):
            return candidate
    raise QueryError(_describe_unknown(name, rows))


def _resolve_word(name: str) -> Field | None:
    short = {normalize_name(word): path for word, path in SHORT_NAMES.items()}
    if normalize_name(name) in short:
        return Field(name, short[normalize_name(name)])
    spellings = {normalize_name(spelling.lstrip("-")): flag for flag in FLAGS for spelling in flag.names}
    flag = spellings.get(normalize_name(name))
    if flag is None:
        return None
    if flag.name == "sparse":
        return Field(name, "config.allocation.name", "dense", otherwise=True)
    if flag.name == "fix":
        return Field(name, "config.topology.name", "static")
    if not flag.config_path:
        raise QueryError(f"{name!r} is a flag that no record holds: what it did is in the other settings.")
    return Field(name, f"config.{flag.config_path}", flag.value if flag.kind is bool else None)


def _look_up(value: Any, parts: Sequence[str]) -> Any:
    """Looks up the value at a path; names may contain dots (``model.safetensors``, ``layer1.0.conv1.weight``)."""
    if not parts:
        return value
    if isinstance(value, Mapping):
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            result = _look_up(value[name], parts[count:]) if name in value else None
            if result is not None:
                return result
    elif isinstance(value, Sequence) and not isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", parts[0]):
        index = int(parts[0])
        return _look_up(value[index], parts[1:]) if -len(value) <= index < len(value) else None
    return None


def _list_paths(values: Mapping[str, Any], above: str = "") -> list[str]:
    """Lists the dotted paths of all values; a list is one value."""
    paths: list[str] = []
    for name, value in values.items():
        path = above + name
        paths += _list_paths(value, f"{path}.") if isinstance(value, Mapping) and value else [path]
    return paths


_SCHEMA_PATHS = {*Record.model_fields, *(f"metrics.test.{name}" for name in Metrics.model_fields)}


def _describe_unknown(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    words = [*SHORT_NAMES, *(flag.name for flag in FLAGS if flag.config_path)]
    paths = {path for row in rows for path in _list_paths(row)} | _SCHEMA_PATHS
    shorter = {path.removeprefix(prefix) for path in paths for prefix in _PREFIXES}
    spelled = {normalize_name(candidate): candidate for candidate in [*sorted(shorter | paths), *words]}
    near = difflib.get_close_matches(normalize_name(name), list(spelled), n=1)
    hint = f" Did you mean {spelled[near[0]]!r}?" if near else ""
    return (
        f"No record here has {name!r}.{hint} Known: {', '.join(sorted(words))}; and any dotted path of record.json, as "
        "config.training.lr or metrics.test.accuracy."
    )
