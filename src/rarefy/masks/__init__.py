"""Which weights a layer keeps, as a function of a seed: ``draw_masks`` draws ``Masks``."""

from rarefy.masks._draw import draw_mask, draw_masks
from rarefy.masks._hash import derive_mask_key
from rarefy.masks._masks import Masks, fill_
from rarefy.masks._pattern import PATTERNS, is_semi_structured
from rarefy.masks._select import mark_random, mark_smallest
from rarefy.masks._storage import METADATA, MaskMismatch, compress, expand, pack_masks, read_shapes, unpack_masks

__all__ = [
    "METADATA",
    "PATTERNS",
    "MaskMismatch",
    "Masks",
    "compress",
    "derive_mask_key",
    "draw_mask",
    "draw_masks",
    "expand",
    "fill_",
    "is_semi_structured",
    "mark_random",
    "mark_smallest",
    "pack_masks",
    "read_shapes",
    "unpack_masks",
]
