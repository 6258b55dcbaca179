"""How drops catch the light: what ``spatter`` takes OpenCV for in the code of the official files, in scipy."""

from __future__ import annotations

import numpy as np

from rarefy.evaluation.corruptions._tools import Array

LIGHT = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])[None]  # bright where the drop rises to the lower right
FARTHEST = 20  # pixels from the edge of a drop


def relief(liquid: Array) -> Array:
    """Brightness of the drops, ``[N, H, W]`` in [0, 1], from how much liquid there is, ``[N, H, W]`` in about [0, 1].

    Distance to the next edge of a drop, evened out over the levels, lit from one side, times the liquid.
    """
    from scipy.ndimage import correlate, uniform_filter  # type: ignore[import-untyped, unused-ignore]

    levels = np.floor(liquid.clip(0, 1) * 255)
    away = np.floor(uniform_filter(_distance(_edges(levels)).clip(0, FARTHEST), (1, 3, 3), mode="mirror") + 1e-6)
    lit = correlate(_equalised(away), LIGHT, mode="mirror").clip(0, 255)  # OpenCV does not flip it
    drops = levels * uniform_filter(lit, (1, 3, 3), mode="mirror")
    highest = drops.max((1, 2), keepdims=True)
    out: Array = (drops / np.where(highest > 0, highest, 1)).astype(np.float32)
    return out


def _edges(levels: Array) -> Array:
    """Canny's edges with thresholds 50 and 150: ridges of the gradient, and what hangs on strong ones."""
    from scipy.ndimage import label, sobel  # type: ignore[import-untyped, unused-ignore]

    down, right = (sobel(levels, axis, mode="nearest") for axis in (1, 2))
    size = np.abs(down) + np.abs(right)
    padded = np.pad(size, ((0, 0), (1, 1), (1, 1)))
    ridge = np.zeros(size.shape, bool)
    sector = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    for number, (rows, columns) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead, behind = (np.roll(padded, (-s * rows, -s * columns), (1, 2))[:, 1:-1, 1:-1] for s in (1, -1))
        ridge |= (sector == number) & (size > behind) & (size >= ahead)
    together = np.zeros((3, 3, 3))
    together[1] = 1  # pixels of one image hang together, diagonally too; images do not
    parts, count = label(ridge & (size > 50), together)
    strong = np.zeros(count + 1, bool)
    strong[np.unique(parts[ridge & (size > 150)])] = True
    strong[0] = False
    found: Array = strong[parts]
    return found


def _distance(edges: Array) -> Array:
    """Pixels to the next edge; as far as can be where an image has none."""
    from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped, unused-ignore]

    far = np.full(edges.shape[1:], float(FARTHEST))
    return np.stack([distance_transform_edt(~edge) if edge.any() else far for edge in edges])


def _equalised(levels: Array) -> Array:
    """Levels 0 to 255 of each image spread out by their ranks; an image of one level stays."""
    out = levels.copy()
    for image in out:
        counts = np.bincount(image.astype(int).ravel(), minlength=256)
        lowest = counts[counts > 0][0]
        if lowest < image.size:
            image[:] = np.round((counts.cumsum() - lowest) * 255 / (image.size - lowest))[image.astype(int)]
    return out
