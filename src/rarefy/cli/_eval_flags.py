"""Reads the flags of `rarefy eval`, from the command line or from a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rarefy.errors import InvalidInput
from rarefy.flags import EVAL_FLAGS, Flag
from rarefy.registry import make_unknown_error, normalize_name

if TYPE_CHECKING:
    from rarefy.pipeline import EvaluationOptions


def read_eval_flags(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Read the flags from a mapping, as a sweep file has it; a list stands for text with commas.

    Args:
        values: Flag to value; flags that are not named have their defaults.
        where: What an error calls the mapping.
    """
    flags = {normalize_name(flag.name): flag for flag in EVAL_FLAGS}
    result = {flag.name: False if flag.kind is bool else flag.default for flag in EVAL_FLAGS}
    for name, value in values.items():
        if normalize_name(str(name)) not in flags:
            spellings = [flag.names[0].lstrip("-") for flag in EVAL_FLAGS]
            raise make_unknown_error(f"flag in {where}", str(name), spellings)
        flag = flags[normalize_name(str(name))]
        result[flag.name] = _convert(flag, value, where)
    return result


def _convert(flag: Flag, value: Any, where: str) -> Any:
    if flag.kind is str and not isinstance(value, bool):
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if flag.kind is bool and isinstance(value, bool):
        return value
    if flag.kind is int and type(value) is int and (flag.minimum is None or value >= flag.minimum):
        return value
    if flag.kind is Path and isinstance(value, str):
        return Path(value)
    name = flag.names[0].lstrip("-")
    raise InvalidInput(f"{where}.{name} cannot be {value!r}. `rarefy eval --help` says what it takes.")


def make_evaluation_options(values: dict[str, Any]) -> EvaluationOptions:
    """Make the checked options of an evaluation from the values of its flags."""
    from rarefy.evaluation.ood import parse_sources
    from rarefy.pipeline import EvaluationOptions
    from rarefy.registry import parse_number

    return EvaluationOptions(
        ood=tuple(parse_sources(values["ood"])),
        scores=_words(values["ood_scores"]),
        attacks=_words(values["attack"]),
        eps=tuple(parse_number(word) for word in _words(values["eps"])),
        corruptions=values["corruptions"] or values["corruptions_dir"] is not None,
        official=values["corruptions_dir"],
        ood_images=values["ood_images"] or None,
        corruption_images=values["corruption_images"] or None,
        **{name: values[name] for name in ("calibration", "cost", "hessian", "landscape", "seed")},
        **{name: values[name] for name in ("attack_images", "curve_images")},
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
