"""What a person calls a number of a record, and where in the record it is."""

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

SHORT = {
    "run": "id",
    "accuracy": "metrics.test.accuracy",
    "loss": "metrics.test.loss",
    "kept": "params.kept",
    "disk": "files.model.safetensors",
}
"""Names of one word for what is looked at most; every flag of `rarefy train` is a name, too."""

_PREFIXES = ("", "config.", "metrics.test.")


class QueryError(RarefyError, ValueError):
    """A question that the records cannot answer; the message says what is wrong with it, and what is near."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One value of every record.

    Args:
        name: What the person wrote.
        path: Where it is in the record, dotted; a number is a place in a list, -1 the last.
        when: For a flag that takes no value: what its setting is when it was given.
        otherwise: Whether the field is true when the setting is anything but `when`.
    """

    name: str
    path: str
    when: Any = None
    otherwise: bool = False

    def of(self, values: Mapping[str, Any]) -> Any:
        """The value; None where a record has none."""
        found = _look_up(values, self.path.split("."))
        if self.when is None or found is None:
            return found
        return (found == self.when) is not self.otherwise


def field(name: str, rows: Sequence[Mapping[str, Any]]) -> Field:
    """What a name means: a short name, a flag's name, a dotted path of the record, of its config, or of its metrics.

    ``record.`` before a path is the record itself: ``record.density`` is the density that was counted, ``density`` the
    flag's, which was asked for.

    Raises:
        QueryError: If nobody knows the name and no row has such a path; the message names what is nearest.
    """
    if name.startswith("record."):
        candidates = [Field(name, name.removeprefix("record."))]
    elif known := _by_one_word(name):
        return known
    else:
        candidates = [Field(name, prefix + name) for prefix in _PREFIXES]
    for candidate in candidates:
        if candidate.path in _ALWAYS or any(candidate.of(row) is not None for row in rows):
            return candidate
    for candidate in candidates:  # None in all of them is a value, too: clip_norm
        if any(candidate.path in _paths(row) for row in rows):
            return candidate
    raise QueryError(_unknown(name, rows))


def _by_one_word(name: str) -> Field | None:
    short = {normalize_name(word): path for word, path in SHORT.items()}
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
    """The value at a path; a name may hold dots itself (``model.safetensors``, ``layer1.0.conv1.weight``)."""
    if not parts:
        return value
    if isinstance(value, Mapping):
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            found = _look_up(value[name], parts[count:]) if name in value else None
            if found is not None:
                return found
    elif isinstance(value, Sequence) and not isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", parts[0]):
        place = int(parts[0])
        return _look_up(value[place], parts[1:]) if -len(value) <= place < len(value) else None
    return None


def _paths(values: Mapping[str, Any], above: str = "") -> list[str]:
    """Dotted paths of all values, lists not opened."""
    found: list[str] = []
    for name, value in values.items():
        place = above + name
        found += _paths(value, f"{place}.") if isinstance(value, Mapping) and value else [place]
    return found


_ALWAYS = {*Record.model_fields, *(f"metrics.test.{name}" for name in Metrics.model_fields)}


def _unknown(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    words = [*SHORT, *(flag.name for flag in FLAGS if flag.config_path)]
    paths = {path for row in rows for path in _paths(row)} | _ALWAYS
    shorter = {path.removeprefix(prefix) for path in paths for prefix in _PREFIXES}
    spelled = {normalize_name(candidate): candidate for candidate in [*sorted(shorter | paths), *words]}
    near = difflib.get_close_matches(normalize_name(name), list(spelled), n=1)
    hint = f" Did you mean {spelled[near[0]]!r}?" if near else ""
    return (
        f"No record here has {name!r}.{hint} Known: {', '.join(sorted(words))}; and any dotted path of record.json, as "
        "config.training.lr or metrics.test.accuracy."
    )
