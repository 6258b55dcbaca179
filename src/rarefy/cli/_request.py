"""The flags that say what an evaluation computes, as one table."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import with_parameters
from rarefy.errors import InvalidInput
from rarefy.registry import make_unknown_error, normalize_name

if TYPE_CHECKING:
    from rarefy.pipeline import EvaluationOptions


@dataclasses.dataclass(frozen=True)
class Wish:
    """A flag: its type, its default, and what `--help` says."""

    kind: Any
    default: Any
    help: str
    least: int | None = None


WISHES = {
    "ood": Wish(str, "", "Images from elsewhere: cifar100,svhn,tiny_imagenet,noise, folders, file.npz."),
    "ood-scores": Wish(str, "", "Scores, as energy,knn:k=200; default: all."),
    "attack": Wish(str, "", "fgsm, pgd, autoattack; options as in pgd:steps=50:restarts=5:eps=4/255."),
    "eps": Wish(str, "0.5/255,1/255,2/255,4/255,8/255", "Points of the curve of accuracy against eps, in [0, 1]."),
    "corruptions": Wish(bool, False, "The 15 + 4 corruptions of CIFAR-C."),
    "corruptions-dir": Wish(Path | None, None, "Their official files; without them they are regenerated."),
    "calibration": Wish(bool, False, "ECE, NLL, Brier, temperature scaling."),
    "cost": Wish(bool, False, "Parameters, FLOPs, bytes, latency, memory."),
    "hessian": Wish(bool, False, "Top eigenvalue of the loss's Hessian."),
    "landscape": Wish(bool, False, "The loss along a random line."),
    "ood-images": Wish(int, 4000, "Images a source; 0: all.", 0),
    "attack-images": Wish(int, 256, "Test images attacked.", 1),
    "curve-images": Wish(int, 128, "Test images for the curve.", 1),
    "corruption-images": Wish(int, 500, "Test images corrupted, each in 95 ways; 0: all.", 0),
    "seed": Wish(int, 0, "Root of noise, random starts and corruptions."),
}


def with_request(command: Callable[..., None]) -> Callable[..., None]:
    """Adds these flags to a command; what was given arrives in its ``asked``."""
    return with_parameters(command, "asked", [_parameter(flag, wish) for flag, wish in WISHES.items()])


def _parameter(flag: str, wish: Wish) -> inspect.Parameter:
    option = typer.Option(f"--{flag}", help=wish.help, min=wish.least)
    annotation: Any = Annotated[wish.kind, option]
    name = flag.replace("-", "_")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=wish.default, annotation=annotation)


def asked_in(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same from a mapping of these flags, as a file holds it; a list is a text with commas.

    Args:
        values: Flag -> value; flags that are not named have their defaults.
        where: What an error calls the mapping.
    """
    known = {normalize_name(flag): flag for flag in WISHES}
    asked = {flag.replace("-", "_"): wish.default for flag, wish in WISHES.items()}
    for name, value in values.items():
        if normalize_name(str(name)) not in known:
            raise make_unknown_error(f"flag in {where}", str(name), WISHES)
        flag = known[normalize_name(str(name))]
        asked[flag.replace("-", "_")] = _fitting(flag, value, where)
    return asked


def _fitting(flag: str, value: Any, where: str) -> Any:
    wish = WISHES[flag]
    if wish.kind is str and not isinstance(value, bool):
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if wish.kind is bool and isinstance(value, bool):
        return value
    if wish.kind is int and type(value) is int and (wish.least is None or value >= wish.least):
        return value
    if wish.kind == Path | None and isinstance(value, str):
        return Path(value)
    raise InvalidInput(f"{where}.{flag} cannot be {value!r}. `rarefy eval --help` says what it takes.")


def request_of(asked: dict[str, Any]) -> EvaluationOptions:
    """What was asked for, checked."""
    from rarefy.evaluation.ood import ood_names
    from rarefy.pipeline import EvaluationOptions
    from rarefy.registry import parse_number

    return EvaluationOptions(
        ood=tuple(ood_names(asked["ood"])),
        scores=_words(asked["ood_scores"]),
        attacks=_words(asked["attack"]),
        eps=tuple(parse_number(word) for word in _words(asked["eps"])),
        corruptions=asked["corruptions"] or asked["corruptions_dir"] is not None,
        official=asked["corruptions_dir"],
        ood_images=asked["ood_images"] or None,
        corruption_images=asked["corruption_images"] or None,
        **{name: asked[name] for name in ("calibration", "cost", "hessian", "landscape", "seed")},
        **{name: asked[name] for name in ("attack_images", "curve_images")},
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
