"""Room: what records show. Door: ``render`` writes every registered report of one or more records.

``render_evaluation`` writes the page of an evaluation, of one run or of several side by side; ``render_density`` that
of a search for a density.

Free of torch, so that results can be looked at where nothing can be trained.
"""

from rarefy.reports._density import render_density
from rarefy.reports._door import REPORTS, Report, ReportError, render
from rarefy.reports._evaluation import Evaluated, render_evaluation

__all__ = ["REPORTS", "Evaluated", "Report", "ReportError", "render", "render_density", "render_evaluation"]

REPORTS.discover(__name__)
