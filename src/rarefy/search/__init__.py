"""Searches for the smallest density whose accuracy is within a margin of dense.

`find_density` takes any training function, `search_runs` trains ordinary runs; `measure_savings` counts and times what
the density saves, `write_page` writes the report.
"""

from rarefy.search._densities import spaced_densities
from rarefy.search._find_density import SearchError, find_density
from rarefy.search._page import write_page
from rarefy.search._result import SearchResult, SearchStep, Trial
from rarefy.search._runs import SearchRuns, SearchUpdate, SweepOptions, search_runs
from rarefy.search._savings import Saving, measure_savings
from rarefy.search._scales import SCALES, Scale
from rarefy.search._search import Budget, TrialSpec, compute_budget

__all__ = [
    "SCALES",
    "Budget",
    "Saving",
    "Scale",
    "SearchError",
    "SearchResult",
    "SearchRuns",
    "SearchStep",
    "SearchUpdate",
    "SweepOptions",
    "Trial",
    "TrialSpec",
    "compute_budget",
    "find_density",
    "measure_savings",
    "search_runs",
    "spaced_densities",
    "write_page",
]
