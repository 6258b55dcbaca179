"""Which weights a layer keeps, as a function of a seed: ``draw_masks`` draws ``Masks``."""

from rarefy.masks._connect import count_connecting, draw_connected
from rarefy.masks._description import METADATA, MaskMismatch
from rarefy.masks._draw import check_connect, draw_mask, draw_masks
from rarefy.masks._hash import derive_mask_key
from rarefy.masks._masks import Masks, fill_
from rarefy.masks._patterns import (
    PATTERNS,
    GroupPattern,
    Pattern,
    count_members,
    expand_groups,
    parse_pattern,
    sum_groups,
)
from rarefy.masks._patterns.semi_structured import is_semi_structured
from rarefy.masks._select import mark_random, mark_smallest
from rarefy.masks._storage import compress, expand, pack_masks, read_shapes, unpack_masks

__all__ = [
    "METADATA",
    "PATTERNS",
    "GroupPattern",
    "MaskMismatch",
    "Masks",
    "Pattern",
    "check_connect",
    "compress",
    "count_connecting",
    "count_members",
    "derive_mask_key",
    "draw_connected",
    "draw_mask",
    "draw_masks",
    "expand",
    "expand_groups",
    "fill_",
    "is_semi_structured",
    "mark_random",
    "mark_smallest",
    "pack_masks",
    "parse_pattern",
    "read_shapes",
    "sum_groups",
    "unpack_masks",
]
