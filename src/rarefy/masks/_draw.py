"""Drawing of masks: a weight is kept when its score is among the k smallest of its layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.masks._connect import draw_connected
from rarefy.masks._masks import Masks, Shape
from rarefy.masks._patterns import Pattern, parse_pattern


def draw_mask(name: str, shape: Shape, kept: int, seed: int, *, pattern: Pattern | None = None) -> Tensor:
    """Draws the mask of one layer.

    Args:
        name: The layer's name; another name is another mask.
        shape: Shape of the weight.
        kept: How many weights to keep.
        seed: Any integer.
        pattern: What is drawn together; None for single weights.

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
    return (pattern or parse_pattern("unstructured")).draw(name, tuple(shape), kept, seed)


def draw_masks(
    counts: Mapping[str, int],
    shapes: Mapping[str, Shape],
    seed: int,
    *,
    pattern: str = "unstructured",
    connect: Mapping[str, int] | None = None,
) -> Masks:
    """Draws the masks of a network: a function of the seed, and of each layer's name, shape and count.

    Masks of one seed are nested: a layer that keeps fewer weights keeps a subset. They depend on nothing else, neither
    on the other layers nor on the device, the machine or the version of a library.

    Args:
        counts: Name to number of weights to keep.
        shapes: Name to shape of the weight; the same names, in the order of the layers.
        seed: Any integer.
        pattern: Which weights are drawn together: ``"unstructured"``, groups (``"out8"``, ``"in4"``, ``"kernel"``), or
            ``"2:4"`` in the layers that can have it; the others are drawn without it. Masks of the pattern 2:4 are
            stored as bits, so their ``seed`` is None.
        connect: Name to groups of its convolution, where there are several, to draw masks in which every unit has an
            input and an output, see `draw_connected`; None for other masks.

    Returns:
        The masks, on the CPU, with exactly as many True as ``counts`` says.

    Raises:
        ValueError: If the names differ, a count does not fit its layer, no layer can have the pattern, or `connect` is
            given together with a pattern.
        UnknownName: If there is no such pattern.

    Example:
        >>> shapes = {"conv.weight": (4, 3, 3, 3), "fc.weight": (10, 4)}
        >>> draw_masks({"conv.weight": 54, "fc.weight": 8}, shapes, seed=17)
        Masks(2 layers, 62 of 148 weights kept, seed=17)
        >>> draw_masks({"fc.weight": 8}, {"fc.weight": (4, 4)}, seed=17, pattern="2:4")["fc.weight"].sum(1)
        tensor([2, 2, 2, 2])
        >>> draw_masks({"fc.weight": 6}, {"fc.weight": (4, 4)}, seed=17, pattern="out2")["fc.weight"].int()
        tensor([[0, 1, 0, 0],
                [0, 1, 0, 0],
                [1, 0, 0, 1],
                [1, 0, 0, 1]], dtype=torch.int32)
    """
    unmatched = sorted(counts.keys() ^ shapes.keys())
    if unmatched:
        raise InvalidInput(
            f"Every layer needs a count and a shape. One of them is missing for: {', '.join(unmatched)}."
        )
    structure = parse_pattern(pattern)
    if connect is not None:
        check_connect(structure)
        connected = {
            n: draw_connected(n, shape, counts[n], seed, groups=connect.get(n, 1)) for n, shape in shapes.items()
        }
        return Masks(connected, seed=int(seed), connect=connect)
    fitting = {name for name, shape in shapes.items() if structure.fits(shape, counts[name])}
    if shapes and not fitting:
        raise InvalidInput(_explain_misfit(structure, counts, shapes))
    masks = {
        name: draw_mask(name, shape, counts[name], seed, pattern=structure if name in fitting else None)
        for name, shape in shapes.items()
    }
    return Masks(masks, seed=int(seed) if structure.is_redrawn else None, pattern=structure.name)


def check_connect(pattern: Pattern) -> None:
    """Raises InvalidInput for a pattern whose masks cannot be drawn so that every unit has an input and an output.

    Example:
        >>> check_connect(parse_pattern("unstructured"))  # raises nothing
    """
    if pattern.name != "unstructured":
        raise InvalidInput(
            f"connect chooses single weights for units that would have none, and the pattern {pattern.name!r} chooses "
            "several weights together. Leave one of them out.",
            name="connect",
            value=pattern.name,
        )


def _explain_misfit(pattern: Pattern, counts: Mapping[str, int], shapes: Mapping[str, Shape]) -> str:
    name = max(shapes, key=lambda name: math.prod(shapes[name]))
    return (
        f"No layer can have the pattern {pattern.name!r}: it takes {pattern.requirement}. The largest, {name!r}, has "
        f"the shape {tuple(shapes[name])} and keeps {counts[name]} of {math.prod(shapes[name])} weights."
    )
