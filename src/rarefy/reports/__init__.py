"""Room: what records show. Door: ``render`` writes every registered report of one or more records.

``render_evaluation`` writes the page of an evaluation, of one run or of several side by side; ``render_density`` that
of a search for a density; ``render_report`` that of many runs, with figures and tables for a paper.

Free of torch, so that results can be looked at where nothing can be trained.
"""

from rarefy.reports._csv import comma_separated
from rarefy.reports._density import render_density
from rarefy.reports._evaluation import Evaluated, render_evaluation
from rarefy.reports._render import REPORTS, Report, ReportError, render
from rarefy.reports._study import (
    Axis,
    Cell,
    Figure,
    Judged,
    Progress,
    Published,
    Sample,
    Series,
    Study,
    Unfinished,
    pictures,
    read_published,
    render_report,
)

__all__ = [
    "REPORTS",
    "Axis",
    "Cell",
    "Evaluated",
    "Figure",
    "Judged",
    "Progress",
    "Published",
    "Report",
    "ReportError",
    "Sample",
    "Series",
    "Study",
    "Unfinished",
    "comma_separated",
    "pictures",
    "read_published",
    "render",
    "render_density",
    "render_evaluation",
    "render_report",
]

REPORTS.discover(__name__)
