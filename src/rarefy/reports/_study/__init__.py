"""The page of many runs. Door: ``render_report``; every public file is a section of it."""

from rarefy.reports._study._build_page import Progress, render_report
from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._paper import pictures
from rarefy.reports._study._published import Published, read_published
from rarefy.reports._study._study import Cell, Judged, Sample, Study, Unfinished

__all__ = [
    "Axis",
    "Cell",
    "Figure",
    "Judged",
    "Progress",
    "Published",
    "Sample",
    "Series",
    "Study",
    "Unfinished",
    "pictures",
    "read_published",
    "render_report",
]
