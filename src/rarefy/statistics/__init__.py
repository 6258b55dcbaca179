"""Statistics over the runs of a group: intervals, equivalence with a baseline, seeds needed. Imports no torch."""

from rarefy.statistics.equivalence import Comparison, Summary, compare_groups, summarize
from rarefy.statistics.wilson import wilson_interval

__all__ = ["Comparison", "Summary", "compare_groups", "summarize", "wilson_interval"]
