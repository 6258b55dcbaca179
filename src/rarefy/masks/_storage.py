"""Masks and sparse weights on disk: drawn masks cost nothing, moved ones a bit per weight or group; all is checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rarefy.masks._description import (
    CONNECTED,
    GROUPED,
    METADATA,
    Description,
    MaskMismatch,
    check_counts_fit,
    read_description,
)
from rarefy.masks._draw import draw_masks
from rarefy.masks._group_bits import GroupBits, join_groups, split_groups
from rarefy.masks._hash import VERSION
from rarefy.masks._masks import Masks, move_mask, pack_bits, require_mask
from rarefy.masks._patterns import GroupPattern, count_members, parse_pattern

BITS = "rarefy.masks/"  # prefix of the names of tensors with packed bits


def pack_masks(masks: Masks) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Describes masks for a safetensors file.

    Masks as they were drawn need no tensors: reading draws them again. Others are bit-packed, eight to a byte: one bit
    per weight, or per group where all masks are in groups.

    Args:
        masks: The masks.

    Returns:
        Tensors (name to uint8, on the CPU) and metadata (one entry) to put into the file. The names of both begin with
        ``rarefy.masks``.

    Example:
        >>> tensors, metadata = pack_masks(draw_masks({"fc.weight": 3}, {"fc.weight": (2, 4)}, seed=17))
        >>> tensors, list(metadata)
        ({}, ['rarefy.masks'])
        >>> tensors, metadata = pack_masks(Masks({"fc.weight": torch.tensor([True, False, True])}))
        >>> tensors
        {'rarefy.masks/fc.weight': tensor([5], dtype=torch.uint8)}
    """
    pattern, bits = _collect_bits(masks)
    shapes = masks.shapes
    extras = {name: {"partial": own.partial} for name, own in bits.items() if own.partial is not None}
    connect = None if masks.seed is None else masks.connect
    extras |= {name: {"groups": groups} for name, groups in (connect or {}).items() if groups > 1}
    version = VERSION if connect is None else CONNECTED
    description = {
        **({"version": version} if pattern is None else {"version": GROUPED, "pattern": pattern}),
        "seed": None if masks.seed is None else str(masks.seed),
        "checksum": masks.checksum(),
        "layers": [
            {"name": name, "shape": list(shapes[name]), "kept": kept, **extras.get(name, {})}
            for name, kept in masks.counts().items()
        ],
    }
    tensors = {BITS + name: torch.from_numpy(pack_bits(own.kept)) for name, own in bits.items()}
    return tensors, {METADATA: json.dumps(description)}


def _collect_bits(masks: Masks) -> tuple[str | None, dict[str, GroupBits]]:
    """Returns the name of the groups' pattern, if there are groups, and the bits by layer, if masks are not redrawn."""
    pattern = parse_pattern(masks.pattern)
    if masks.seed is not None:
        return pattern.name if isinstance(pattern, GroupPattern) else None, {}
    if isinstance(pattern, GroupPattern):
        groups = {name: split_groups(mask, pattern) for name, mask in masks.items()}
        bits = {name: own for name, own in groups.items() if own is not None}
        if len(bits) == len(masks):
            return pattern.name, bits
    return None, {name: GroupBits(mask, None) for name, mask in masks.items()}


def unpack_masks(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Masks:
    """Reads masks that ``pack_masks`` described, and checks every count and the checksum.

    Args:
        tensors: The file's tensors; those that are not masks are left alone.
        metadata: The file's metadata.

    Returns:
        The masks, on the CPU.

    Raises:
        MaskMismatch: If a count, a length or the checksum is not what the description says.
        ValueError: If there is no description, it cannot be read, or a newer rarefy wrote it.

    Example:
        >>> masks = draw_masks({"fc.weight": 3}, {"fc.weight": (2, 4)}, seed=17)
        >>> unpack_masks(*pack_masks(masks)) == masks
        True
    """
    description = read_description(metadata)
    seed, pattern, shapes, counts = description[:4]
    if seed is None:
        masks = Masks({name: _unpack_layer(tensors, name, description) for name in shapes}, pattern=pattern)
        _check_counts(masks, counts)
    else:
        check_counts_fit(description)
        masks = draw_masks(counts, shapes, seed, pattern=pattern, connect=description.connect)
    actual = masks.checksum()
    if actual != description.checksum:
        raise MaskMismatch(
            f"The masks' checksum is {actual}, but the file says {description.checksum}: it is damaged or was changed."
        )
    return masks


def read_shapes(metadata: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Reads names and shapes of the layers from a description of masks; draws nothing.

    Args:
        metadata: The file's metadata.

    Returns:
        Layer name to shape, as the file says.

    Raises:
        ValueError: As `unpack_masks`, if there is no description or it cannot be read.

    Example:
        >>> _, metadata = pack_masks(draw_masks({"fc.weight": 3}, {"fc.weight": (2, 4)}, seed=17))
        >>> read_shapes(metadata)
        {'fc.weight': (2, 4)}
    """
    return read_description(metadata).shapes


def compress(weights: Mapping[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    """Takes the kept values of every weight.

    Args:
        weights: Name to weight, for all layers or some of them; any dtype, memory format and device.
        masks: The masks, on any device.

    Returns:
        Name to kept values ``[kept]`` in flat (row-major) order, with the weight's dtype and device.

    Raises:
        ValueError: If a name has no mask, or a weight has not its mask's shape.

    Example:
        >>> masks = Masks({"fc.weight": torch.tensor([[True, False], [False, True]])})
        >>> compress({"fc.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, masks)
        {'fc.weight': tensor([1., 4.])}
    """
    chosen = {}
    for name, weight in weights.items():
        mask = move_mask(name, require_mask(masks, name, weight), weight.device)
        chosen[name] = torch.masked_select(weight.detach(), mask)
    return chosen


def expand(values: Mapping[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    """Puts kept values back into dense weights, with exact zeros everywhere else; undoes ``compress``.

    Args:
        values: Name to kept values ``[kept]`` in flat (row-major) order.
        masks: The masks the values were taken with.

    Returns:
        Name to dense weight, with the values' dtype and device.

    Raises:
        MaskMismatch: If there are more or fewer values than the layer keeps.
        ValueError: If a name has no mask.

    Example:
        >>> masks = Masks({"fc.weight": torch.tensor([[True, False], [False, True]])})
        >>> expand({"fc.weight": torch.tensor([1.0, 4.0])}, masks)["fc.weight"]
        tensor([[1., 0.],
                [0., 4.]])
    """
    dense = {}
    for name, kept in values.items():
        mask = move_mask(name, require_mask(masks, name), kept.device)
        expected = int(mask.count_nonzero())
        if tuple(kept.shape) != (expected,):
            raise MaskMismatch(f"{name!r} keeps {expected} weights, but the values have shape {tuple(kept.shape)}.")
        dense[name] = kept.new_zeros(mask.shape).masked_scatter_(mask, kept.detach())
    return dense


def _unpack_layer(tensors: Mapping[str, Tensor], name: str, description: Description) -> Tensor:
    """Unpacks the mask of a layer from one bit per weight or group."""
    shape, pattern = description.shapes[name], parse_pattern(description.pattern)
    if not isinstance(pattern, GroupPattern):
        return _unpack_bits(tensors, name, shape, math.prod(shape)).view(shape)
    kept = _unpack_bits(tensors, name, shape, count_members(shape, pattern.block(shape)).numel())
    mask = join_groups(GroupBits(kept, description.partial.get(name)), shape, pattern, description.counts[name])
    if mask is None:
        raise MaskMismatch(f"The groups of {name!r} do not add up to the {description.counts[name]} weights it keeps.")
    return mask


def _unpack_bits(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], size: int) -> Tensor:
    bits, length = tensors.get(BITS + name), -(-size // 8)
    if bits is None:
        raise MaskMismatch(f"The bits of the mask of {name!r} are missing: there is no tensor {BITS + name!r}.")
    if bits.dtype != torch.uint8 or tuple(bits.shape) != (length,):
        received = f"{bits.dtype} {tuple(bits.shape)}"
        raise MaskMismatch(f"The mask of {name!r} {shape} needs {length} bytes (torch.uint8), not {received}.")
    return torch.from_numpy(np.unpackbits(bits.cpu().numpy(), count=size, bitorder="little").view(np.bool_))


def _check_counts(masks: Masks, counts: Mapping[str, int]) -> None:
    for name, actual in masks.counts().items():
        if actual != counts[name]:
            raise MaskMismatch(f"{name!r} should keep {counts[name]} weights, but its mask keeps {actual}.")
