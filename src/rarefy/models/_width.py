"""The same network in another width."""

from __future__ import annotations

import dataclasses
from typing import Any

from rarefy.errors import InvalidInput
from rarefy.models._build import Model


def change_width(model: Model, width: int) -> Model:
    """Returns the same network in another width.

    Args:
        model: A network with an option ``width``, or with ``widths``, of which the widest gets the width and the others
            follow.
        width: The width, 1 or more.

    Raises:
        InvalidInput: If the family has no such option, or the width does not fit it.

    Example:
        >>> from rarefy.models import parse
        >>> change_width(parse("cifar_resnet_20_32"), 16).name
        'cifar_resnet_20_16'
        >>> change_width(parse("mlp_300_100"), 150).name
        'mlp_150_50'
    """
    options: dict[str, Any] = dataclasses.asdict(model)  # type: ignore[call-overload]  # its families are dataclasses
    if "width" in options:
        changes: dict[str, Any] = {"width": width}
    elif "widths" in options:
        widest = max(options["widths"])
        changes = {"widths": tuple(max(1, round(own * width / widest)) for own in options["widths"])}
    else:
        raise InvalidInput(
            f"{model.name} has no option for its width, so that base_width={width} says nothing about it. Leave "
            "base_width out, or take a model with a width: cifar_resnet_<depth>_<width>, mlp_<width>.",
            name="base_width",
            value=width,
        )
    changed: Model = dataclasses.replace(model, **changes)  # type: ignore[type-var]
    return changed
