"""Relief of water drops for ``spatter``: the OpenCV steps of the official code, in scipy."""

from __future__ import annotations

import numpy as np

from rarefy.evaluation.corruptions._tools import Array

LIGHT = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])[None]  # bright where the drop rises to the lower right
FARTHEST = 20  # pixels from the edge of a drop


def render_relief(liquid: Array) -> Array:
    """Renders the brightness of drops, ``[N, H, W]`` in [0, 1], from the amount of liquid, ``[N, H, W]``.

    It is the distance to the nearest edge of a drop, histogram-equalised, lit from one side, times the liquid.
    """
    from scipy.ndimage import correlate, uniform_filter  # type: ignore[import-untyped, unused-ignore]

    levels = np.floor(liquid.clip(0, 1) * 255)
    away = np.floor(
        uniform_filter(_compute_distance(_find_edges(levels)).clip(0, FARTHEST), (1, 3, 3), mode="mirror") + 1e-6
    )
    lit = correlate(_equalise_levels(away), LIGHT, mode="mirror").clip(0, 255)  # OpenCV does not flip it
    drops = levels * uniform_filter(lit, (1, 3, 3), mode="mirror")
    highest = drops.max((1, 2), keepdims=True)
    out: Array = (drops / np.where(highest > 0, highest, 1)).astype(np.float32)
    return out


def _find_edges(levels: Array) -> Array:
    """Finds Canny edges with thresholds 50 and 150: ridges of the gradient connected to strong ones."""
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
    together[1] = 1  # pixels of one image are connected, also diagonally; images are not
    parts, count = label(ridge & (size > 50), together)
    strong = np.zeros(count + 1, bool)
    strong[np.unique(parts[ridge & (size > 150)])] = True
    strong[0] = False
    edges: Array = strong[parts]
    return edges


def _compute_distance(edges: Array) -> Array:
    """Computes the distance to the nearest edge in pixels; ``FARTHEST`` in an image without edges."""
    from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped, unused-ignore]

    far = np.full(edges.shape[1:], float(FARTHEST))
    return np.stack([distance_transform_edt(~edge) if edge.any() else far for edge in edges])


def _equalise_levels(levels: Array) -> Array:
    """Equalises the histogram of each image with levels 0 to 255; an image of one level does not change."""
    out = levels.copy()
    for image in out:
        counts = np.bincount(image.astype(int).ravel(), minlength=256)
        lowest = counts[counts > 0][0]
        if lowest < image.size:
            image[:] = np.round((counts.cumsum() - lowest) * 255 / (image.size - lowest))[image.astype(int)]
    return out
