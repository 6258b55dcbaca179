"""Filters, sorts and tabulates records by the names of their values."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rarefy.records._fields import Field, QueryError, resolve_field
from rarefy.registry import normalize_name, parse_number

Values = Mapping[str, Any]
Order = Callable[[Any, Any], bool]

_ORDERS: dict[str, Order] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_CONDITION = re.compile(r"(?P<name>[^!=<>]+)(?P<sign>!=|<=|>=|==|=|<|>)(?P<value>.*)", re.DOTALL)
_NOTHING = {"none", "null", "-", ""}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def select(rows: Sequence[Values], where: Sequence[str] = (), sort: Sequence[str] = ()) -> list[Values]:
    """Selects the rows that meet every condition, sorted.

    Args:
        rows: Records as plain values: ``record.model_dump(mode="json")``, or as read from JSON.
        where: Conditions such as ``density=0.05``, ``accuracy>0.8``, ``seed=1,2,3`` (any of them), ``topology!=static``
            or ``clip_norm=none``. A missing value equals none, and is neither more nor less than any other.
        sort: Names, the most important first; a hyphen before a name sorts from high to low. Rows without a value are
            last.

    Returns:
        Some of `rows`; without `sort` in their order.

    Raises:
        QueryError: If a condition cannot be read, or a name is not known.

    Example:
        >>> rows = [{"metrics": {"test": {"accuracy": accuracy}}} for accuracy in (0.9, 0.7, 0.8)]
        >>> [row["metrics"]["test"]["accuracy"] for row in select(rows, ["accuracy<0.9"], ["-accuracy"])]
        [0.8, 0.7]
    """
    if not rows:
        return []
    tests = [_parse_condition(text, rows) for text in where]
    orders = [(name.startswith("-"), resolve_field(name.removeprefix("-"), rows)) for name in sort]
    selected = [row for row in rows if all(test(row) for test in tests)]
    for is_falling, field in reversed(orders):  # sorting is stable: the most important name last
        present = [row for row in selected if field.read(row) is not None]
        absent = [row for row in selected if field.read(row) is None]
        selected = sorted(present, key=_make_sort_key(field), reverse=is_falling) + absent
    return selected


def tabulate(rows: Sequence[Values], columns: Sequence[str], *, among: Sequence[Values] = ()) -> list[list[Any]]:
    """Tabulates the values of some columns, one list per row; None where a record has no value.

    Args:
        rows: Records as plain values.
        columns: Names of fields.
        among: Records in which names are looked up, if `rows` are only some of them; default: `rows`.

    Raises:
        QueryError: If a name is not known.

    Example:
        >>> tabulate([{"id": "3f2a9c1b77de", "config": {"seed": 17}}], ["id", "seed"])
        [['3f2a9c1b77de', 17]]
    """
    if not (among or rows):
        return []
    fields = [resolve_field(name, among or rows) for name in columns]
    return [[field.read(row) for field in fields] for row in rows]


def _make_sort_key(field: Field) -> Callable[[Values], tuple[bool, Any]]:
    """Makes the key that sorts numbers before texts, and other values as text."""

    def rank(row: Values) -> tuple[bool, Any]:
        value = field.read(row)
        is_number = isinstance(value, int | float)
        return not is_number, value if is_number or isinstance(value, str) else json.dumps(value)

    return rank


def _parse_condition(text: str, rows: Sequence[Values]) -> Callable[[Values], bool]:
    parts = _CONDITION.fullmatch(text.strip())
    if parts is None:
        raise QueryError(
            f"{text!r} is not a condition. Write a name, one of = != < <= > >= and a value: density=0.05, "
            "'accuracy>0.8', seed=1,2,3. Quotes keep the shell from reading < and >."
        )
    field, sign, value = resolve_field(parts["name"].strip(), rows), parts["sign"], parts["value"].strip()
    if sign in _ORDERS:
        return _make_order_test(field, sign, value, text)
    words = [word.strip() for word in value.split(",")]
    wanted = sign != "!="
    return lambda row: any(_equals(field.read(row), word, text) for word in words) is wanted


def _make_order_test(field: Field, sign: str, word: str, text: str) -> Callable[[Values], bool]:
    if "," in word:
        raise QueryError(f"{text!r} compares with several values; {sign} takes one, = and != take a list.")
    order = _ORDERS[sign]

    def holds(row: Values) -> bool:
        value = field.read(row)
        if value is None:
            return False
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise QueryError(
                f"{text!r}: {field.name} is {json.dumps(value)} in a record, which has no order. Use = or !=."
            )
        return order(value, word if isinstance(value, str) else _parse_number(word, text))

    return holds


def _equals(value: Any, word: str, text: str) -> bool:
    """Whether a value equals a word: names regardless of case, - and _; numbers up to rounding."""
    if value is None or word.lower() in _NOTHING:
        return value is None and word.lower() in _NOTHING
    if isinstance(value, bool):
        if word.lower() not in _TRUTH:
            raise QueryError(f"{text!r}: {word!r} is compared with {str(value).lower()}. Write true or false.")
        return value is _TRUTH[word.lower()]
    if isinstance(value, int | float):
        return math.isclose(value, _parse_number(word, text), rel_tol=1e-9)
    return normalize_name(value if isinstance(value, str) else json.dumps(value)) == normalize_name(word)


def _parse_number(word: str, text: str) -> float:
    try:
        return parse_number(word)
    except ValueError:
        raise QueryError(
            f"{text!r}: the records hold a number there, and {word!r} is not a number. Write it like 0.05."
        ) from None
