"""Room: how sparse one can go. Door: ``find_density``, for any training that is a function; ``search_runs``, for runs."""

from rarefy.search._door import SearchError, find_density
from rarefy.search._found import Found, Step, Trial
from rarefy.search._ladder import ladder
from rarefy.search._search import Budget, budget

__all__ = ["Budget", "Found", "SearchError", "Step", "Trial", "budget", "find_density", "ladder"]
