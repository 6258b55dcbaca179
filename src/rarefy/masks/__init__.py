"""Room: which weights a layer keeps, as a function of a seed. Door: ``sample`` draws ``Masks``."""

from rarefy.masks._draw import draw, sample
from rarefy.masks._hash import mask_key
from rarefy.masks._masks import Masks, fill_
from rarefy.masks._pattern import PATTERNS, semi_structured
from rarefy.masks._select import random_choice, smallest
from rarefy.masks._storage import METADATA, MaskMismatch, compress, expand, pack, read_shapes, unpack

__all__ = [
    "METADATA",
    "PATTERNS",
    "MaskMismatch",
    "Masks",
    "compress",
    "draw",
    "expand",
    "fill_",
    "mask_key",
    "pack",
    "random_choice",
    "read_shapes",
    "sample",
    "semi_structured",
    "smallest",
    "unpack",
]
