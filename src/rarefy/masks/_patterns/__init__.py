"""Patterns: which weights of a layer are drawn together. One file per pattern."""

from rarefy.masks._patterns._groups import GroupPattern, count_members, expand_groups, mark_first_, sum_groups
from rarefy.masks._patterns._registry import PATTERNS, Pattern, parse_pattern

__all__ = [
    "PATTERNS",
    "GroupPattern",
    "Pattern",
    "count_members",
    "expand_groups",
    "mark_first_",
    "parse_pattern",
    "sum_groups",
]

PATTERNS.discover(__name__)
