"""What a file says about its masks: JSON in its metadata, read and checked before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rarefy.documents import parse_json
from rarefy.errors import InvalidInput, RarefyError
from rarefy.masks._connect import count_connecting
from rarefy.masks._hash import VERSION
from rarefy.masks._masks import Shape
from rarefy.masks._patterns import GroupPattern, parse_pattern

METADATA = "rarefy.masks"  # the key of the metadata that describes the masks
GROUPED = 2  # version of a description that names the pattern of its groups
CONNECTED = 3  # version of a description of masks that leave no unit without an input or an output


class MaskMismatch(RarefyError, ValueError):
    """Masks that do not match their description; the message names the layer and both numbers."""


class Description(NamedTuple):
    """The masks of a file.

    Args:
        seed: What to draw them from; None if their bits are in the file.
        pattern: Name of their pattern: that of groups, or ``"unstructured"``.
        shapes: Layer name to shape.
        counts: Layer name to number of weights kept.
        partial: Layer name to index of the group that is kept in part, where there is one and groups are stored.
        checksum: What `Masks.checksum` has to return.
        connect: Layer name to groups of its convolution, if every unit has an input and an output; otherwise None.
    """

    seed: int | None
    pattern: str
    shapes: dict[str, Shape]
    counts: dict[str, int]
    partial: dict[str, int]
    checksum: str
    connect: dict[str, int] | None


def read_description(metadata: Mapping[str, str]) -> Description:
    """Reads the description of masks.

    Raises:
        MaskMismatch: If it is damaged.
        InvalidInput: If there is none, or a newer rarefy wrote it.
    """
    if METADATA not in metadata:
        raise InvalidInput(
            f"There are no masks here: the metadata has no {METADATA!r}, only {sorted(metadata) or 'nothing'}."
        )
    values = _parse_description(metadata[METADATA])
    try:
        description = _read_values(values)
    except (KeyError, TypeError, ValueError) as error:
        raise MaskMismatch(f"The metadata {METADATA!r} is damaged: {type(error).__name__} at {error}.") from error
    for name, shape in description.shapes.items():
        if min(shape, default=0) < 0:
            raise MaskMismatch(f"The metadata {METADATA!r} is damaged: {name!r} has shape {shape}.")
    return description


def check_counts_fit(description: Description) -> None:
    """Raises MaskMismatch for a count that its layer cannot keep: the file's mistake."""
    for name, shape in description.shapes.items():
        kept = description.counts[name]
        if not 0 <= kept <= math.prod(shape):
            raise MaskMismatch(f"{name!r} is said to keep {kept} weights, but has {math.prod(shape)}.")
        if description.connect is not None:
            _check_connected(name, shape, kept, description.connect[name])


def _check_connected(name: str, shape: Shape, kept: int, groups: int) -> None:
    if not shape or groups < 1 or shape[0] % groups:
        raise MaskMismatch(f"{name!r} of shape {shape} is said to have {groups} groups of outputs.")
    if kept < count_connecting(shape, groups):
        raise MaskMismatch(f"{name!r} of shape {shape} is said to connect every unit with {kept} weights.")


def _parse_description(text: str) -> dict[str, Any]:
    """Parses a description; raises InvalidInput for a version that this rarefy does not read."""
    values = parse_json(text, f"The metadata {METADATA!r}")
    version = values.get("version") if isinstance(values, dict) else None
    if version not in (VERSION, GROUPED, CONNECTED):
        raise InvalidInput(
            f"The masks are of version {version!r}; this rarefy reads versions {VERSION} to {CONNECTED}. "
            "A newer rarefy wrote them: update this one."
        )
    return dict(values)


def _read_values(values: dict[str, Any]) -> Description:
    layers = {str(layer["name"]): layer for layer in values["layers"]}
    if len(layers) < len(values["layers"]):
        raise InvalidInput("layers, of which one is there twice")
    pattern = str(values["pattern"]) if values["version"] == GROUPED else "unstructured"
    if values["version"] == GROUPED and not isinstance(parse_pattern(pattern), GroupPattern):
        raise InvalidInput(f"pattern {pattern!r}, which has no groups")
    groups = {name: _require_integer(layer.get("groups", 1)) for name, layer in layers.items()}
    return Description(
        seed=None if values["seed"] is None else int(str(values["seed"])[:40]),
        pattern=pattern,
        shapes={name: tuple(map(_require_integer, layer["shape"])) for name, layer in layers.items()},
        counts={name: _require_integer(layer["kept"]) for name, layer in layers.items()},
        partial={name: _require_integer(layer["partial"]) for name, layer in layers.items() if "partial" in layer},
        checksum=str(values["checksum"]),
        connect=groups if values["version"] == CONNECTED else None,
    )


def _require_integer(value: object) -> int:
    if type(value) is not int:
        raise InvalidInput(f"{value!r}, which is no whole number")
    return value
