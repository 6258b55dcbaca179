"""Patterns: which weights of a layer are drawn together. One file per pattern."""

from rarefy.masks._patterns._groups import GroupPattern
from rarefy.masks._patterns._registry import PATTERNS, Pattern, parse_pattern

__all__ = ["PATTERNS", "GroupPattern", "Pattern", "parse_pattern"]

PATTERNS.discover(__name__)
