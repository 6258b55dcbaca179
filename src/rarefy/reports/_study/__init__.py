"""The page of many runs. Door: ``render_report``; every public file is a section of it."""

from rarefy.reports._study._door import Progress, render_report
from rarefy.reports._study._published import Published, read_published
from rarefy.reports._study._study import Cell, Judged, Sample, Study, Unfinished

__all__ = [
    "Cell",
    "Judged",
    "Progress",
    "Published",
    "Sample",
    "Study",
    "Unfinished",
    "read_published",
    "render_report",
]
