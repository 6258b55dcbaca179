"""Room: how sparse one can go. Door: ``find_density``, for any training that is a function; ``search_runs``, for runs.

``savings`` says what the density that was found is worth, ``write_page`` shows it all.
"""

from rarefy.search._find_density import SearchError, find_density
from rarefy.search._found import Found, Step, Trial
from rarefy.search._ladder import ladder
from rarefy.search._page import write_page
from rarefy.search._runs import Places, Progress, Runs, search_runs
from rarefy.search._savings import Saving, savings
from rarefy.search._scales import SCALES, Scale
from rarefy.search._search import Budget, Point, budget

__all__ = [
    "SCALES",
    "Budget",
    "Found",
    "Places",
    "Point",
    "Progress",
    "Runs",
    "Saving",
    "Scale",
    "SearchError",
    "Step",
    "Trial",
    "budget",
    "find_density",
    "ladder",
    "savings",
    "search_runs",
    "write_page",
]
