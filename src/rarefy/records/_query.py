"""Records filtered, sorted and laid out as a table, by the names a person uses for their values."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rarefy.records._fields import Field, QueryError, field
from rarefy.registry import normalize_name, parse_number

Values = Mapping[str, Any]
Order = Callable[[Any, Any], bool]

_ORDERS: dict[str, Order] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_CONDITION = re.compile(r"(?P<name>[^!=<>]+)(?P<sign>!=|<=|>=|==|=|<|>)(?P<value>.*)", re.DOTALL)
_NOTHING = {"none", "null", "-", ""}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def select(rows: Sequence[Values], where: Sequence[str] = (), sort: Sequence[str] = ()) -> list[Values]:
    """The rows that meet every condition, in order.

    Args:
        rows: Records as plain values: ``record.model_dump(mode="json")``, or what `json` reads.
        where: Conditions such as ``density=0.05``, ``accuracy>0.8``, ``seed=1,2,3`` (any of them), ``topology!=static``
            or ``clip_norm=none``. What a record does not have is equal to none and neither more nor less than anything.
        sort: Names, the first one first; one with a hyphen before it from high to low. Rows without a value come last.

    Returns:
        Some of `rows`; without `sort` in the order they came.

    Raises:
        QueryError: If a condition cannot be read, or a name is not known.

    Example:
        >>> rows = [{"metrics": {"test": {"accuracy": accuracy}}} for accuracy in (0.9, 0.7, 0.8)]
        >>> [row["metrics"]["test"]["accuracy"] for row in select(rows, ["accuracy<0.9"], ["-accuracy"])]
        [0.8, 0.7]
    """
    if not rows:
        return []
    tests = [_condition(text, rows) for text in where]
    orders = [(name.startswith("-"), field(name.removeprefix("-"), rows)) for name in sort]
    found = [row for row in rows if all(test(row) for test in tests)]
    for falling, what in reversed(orders):  # sorting keeps the order of equals: the most important one last
        present = [row for row in found if what.of(row) is not None]
        absent = [row for row in found if what.of(row) is None]
        found = sorted(present, key=_key_of(what), reverse=falling) + absent
    return found


def tabulate(rows: Sequence[Values], columns: Sequence[str], *, among: Sequence[Values] = ()) -> list[list[Any]]:
    """The values of some columns, a list a row; None where a record has none.

    Args:
        rows: Records as plain values.
        columns: Names of fields.
        among: The records that names are looked up in where `rows` are some of them; default: `rows`.

    Raises:
        QueryError: If a name is not known.

    Example:
        >>> tabulate([{"id": "3f2a9c1b77de", "config": {"seed": 17}}], ["id", "seed"])
        [['3f2a9c1b77de', 17]]
    """
    if not (among or rows):
        return []
    fields = [field(name, among or rows) for name in columns]
    return [[what.of(row) for what in fields] for row in rows]


def _key_of(what: Field) -> Callable[[Values], tuple[bool, Any]]:
    """Numbers before texts, whatever else there is as text."""

    def rank(row: Values) -> tuple[bool, Any]:
        value = what.of(row)
        is_number = isinstance(value, int | float)
        return not is_number, value if is_number or isinstance(value, str) else json.dumps(value)

    return rank


def _condition(text: str, rows: Sequence[Values]) -> Callable[[Values], bool]:
    parts = _CONDITION.fullmatch(text.strip())
    if parts is None:
        raise QueryError(
            f"{text!r} is no condition. Write a name, one of = != < <= > >= and a value: density=0.05, 'accuracy>0.8', "
            "seed=1,2,3. Quotes keep the shell from reading < and >."
        )
    what, sign, value = field(parts["name"].strip(), rows), parts["sign"], parts["value"].strip()
    if sign in _ORDERS:
        return _ordered(what, sign, value, text)
    words = [word.strip() for word in value.split(",")]
    wanted = sign != "!="
    return lambda row: any(_equal(what.of(row), word, text) for word in words) is wanted


def _ordered(what: Field, sign: str, word: str, text: str) -> Callable[[Values], bool]:
    if "," in word:
        raise QueryError(f"{text!r} compares with several values; {sign} takes one, = and != take a list.")
    order = _ORDERS[sign]

    def holds(row: Values) -> bool:
        value = what.of(row)
        if value is None:
            return False
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise QueryError(
                f"{text!r}: {what.name} is {json.dumps(value)} in a record, which has no order. Use = or !=."
            )
        return order(value, word if isinstance(value, str) else _number(word, text))

    return holds


def _equal(value: Any, word: str, text: str) -> bool:
    """Whether a value is what a person wrote: names without regard to case, - and _; numbers but for rounding."""
    if value is None or word.lower() in _NOTHING:
        return value is None and word.lower() in _NOTHING
    if isinstance(value, bool):
        if word.lower() not in _TRUTH:
            raise QueryError(f"{text!r}: {word!r} is compared with {str(value).lower()}. Write true or false.")
        return value is _TRUTH[word.lower()]
    if isinstance(value, int | float):
        return math.isclose(value, _number(word, text), rel_tol=1e-9)
    return normalize_name(value if isinstance(value, str) else json.dumps(value)) == normalize_name(word)


def _number(word: str, text: str) -> float:
    try:
        return parse_number(word)
    except ValueError:
        raise QueryError(
            f"{text!r}: the records hold a number there, and {word!r} is none. Write it like 0.05."
        ) from None
