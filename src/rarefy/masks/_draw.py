"""Drawing of masks: a weight is kept when its score is among the k smallest of its layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.masks._hash import derive_mask_key
from rarefy.masks._masks import Masks, Shape
from rarefy.masks._pattern import PATTERNS, draw_block_mask, fits_blocks
from rarefy.masks._select import mark_smallest
from rarefy.registry import make_unknown_error


def draw_mask(name: str, shape: Shape, kept: int, seed: int) -> Tensor:
    """Draws the mask of one layer.

    Args:
        name: The layer's name; another name is another mask.
        shape: Shape of the weight.
        kept: How many weights to keep.
        seed: Any integer.

    Returns:
        A bool tensor of that shape on the CPU with exactly ``kept`` True.

    Raises:
        ValueError: If ``kept`` is negative or more than the layer has.

    Example:
        >>> draw_mask("fc.weight", (2, 4), 3, seed=17).sum().item()
        3
    """
    size = math.prod(shape)
    if not 0 <= kept <= size:
        raise InvalidInput(f"{name!r} of shape {tuple(shape)} cannot keep {kept} weights: keep between 0 and {size}.")
    return mark_smallest(derive_mask_key(seed, name), size, kept).view(tuple(shape))


def draw_masks(
    counts: Mapping[str, int], shapes: Mapping[str, Shape], seed: int, *, pattern: str = "unstructured"
) -> Masks:
    """Draws the masks of a network: a function of the seed, and of each layer's name, shape and count.

    Masks of one seed are nested: a layer that keeps fewer weights keeps a subset. They depend on nothing else, neither
    on the other layers nor on the device, the machine or the version of a library.

    Args:
        counts: Name to number of weights to keep.
        shapes: Name to shape of the weight; the same names, in the order of the layers.
        seed: Any integer.
        pattern: ``"2:4"`` for masks that GPUs have kernels for, in the layers that can have it: those that keep exactly
            half of their weights and whose outputs, and inputs (times kernel), are multiples of four. The other layers
            are drawn without the pattern. Masks with a pattern are stored as bits, so ``seed`` is None.

    Returns:
        The masks, on the CPU, with exactly as many True as ``counts`` says.

    Raises:
        ValueError: If the names differ, a count does not fit its layer, or no layer can have the pattern.
        UnknownName: If there is no such pattern.

    Example:
        >>> shapes = {"conv.weight": (4, 3, 3, 3), "fc.weight": (10, 4)}
        >>> draw_masks({"conv.weight": 54, "fc.weight": 8}, shapes, seed=17)
        Masks(2 layers, 62 of 148 weights kept, seed=17)
        >>> draw_masks({"fc.weight": 8}, {"fc.weight": (4, 4)}, seed=17, pattern="2:4")["fc.weight"].sum(1)
        tensor([2, 2, 2, 2])
    """
    unmatched = sorted(counts.keys() ^ shapes.keys())
    if unmatched:
        raise InvalidInput(
            f"Every layer needs a count and a shape. One of them is missing for: {', '.join(unmatched)}."
        )
    if pattern not in PATTERNS:
        raise make_unknown_error("pattern", pattern, PATTERNS)
    patterned = _find_patterned(counts, shapes) if pattern == "2:4" else set()
    masks = {
        name: draw_block_mask(name, shape, seed) if name in patterned else draw_mask(name, shape, counts[name], seed)
        for name, shape in shapes.items()
    }
    return Masks(masks, seed=None if patterned else int(seed))


def _find_patterned(counts: Mapping[str, int], shapes: Mapping[str, Shape]) -> set[str]:
    """Finds the layers that can have the pattern 2:4; raises ValueError if there are none."""
    patterned = {name for name, shape in shapes.items() if fits_blocks(shape) and 2 * counts[name] == math.prod(shape)}
    if not patterned:
        raise InvalidInput(_explain_misfit(counts, shapes))
    return patterned


def _explain_misfit(counts: Mapping[str, int], shapes: Mapping[str, Shape]) -> str:
    name = max(shapes, key=lambda name: (fits_blocks(shapes[name]), math.prod(shapes[name])))
    return (
        "No layer can have the pattern '2:4': that takes outputs, and inputs times kernel, that are multiples of 4, "
        f"and exactly half of the weights. {name!r} has the shape {tuple(shapes[name])} and keeps {counts[name]} of "
        f"{math.prod(shapes[name])}. Ask for density 0.5 and the allocation 'uniform'."
    )
