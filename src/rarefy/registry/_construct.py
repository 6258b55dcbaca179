"""Methods built from the options that a person writes."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from typing import Any

from rarefy.errors import InvalidInput, UnknownOption


def parse_number(text: str) -> float:
    """A number as a person writes it, also as a quotient.

    Raises:
        ValueError: If it is none.

    Example:
        >>> parse_number("8/255") == 8 / 255
        True
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise InvalidInput(f"{text!r} is no number. Write it like 0.03 or 8/255.") from None


def construct(cls: type, label: str, options: dict[str, Any]) -> Any:
    """Builds a dataclass from options as a person wrote them (``"0.5"`` for a float), or says which one is wrong.

    Raises:
        UnknownOption: If an option is not a field, or its value does not fit the field's type or the class's own check.
    """
    import pydantic  # here, so that `--help` does not wait for it

    fields = {field.name for field in dataclasses.fields(cls) if field.init}
    hints = typing.get_type_hints(cls)
    values = {}
    for option, value in options.items():
        if option not in fields:
            near = difflib.get_close_matches(option, fields, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(sorted(fields)) or "none"
            raise UnknownOption(
                f"The {label} has no option {option!r}.{hint} Its options: {allowed}.",
                method=label,
                option=option,
                value=value,
            )
        try:
            config = pydantic.ConfigDict(allow_inf_nan=False, strict=isinstance(value, bool))  # true is no 1
            values[option] = pydantic.TypeAdapter(hints[option], config=config).validate_python(value)
        except pydantic.ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UnknownOption(
                f"Option {option!r} of the {label} cannot be {value!r}: {reason}.",
                method=label,
                option=option,
                value=value,
            ) from error
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise UnknownOption(f"The {label} cannot be built from {options!r}: {error}") from error
