"""Drop rules: which kept weights leave the mask. One file per rule."""

from rarefy.topology._drops._registry import DROPS, DropRule

__all__ = ["DROPS", "DropRule"]

DROPS.discover(__name__)
