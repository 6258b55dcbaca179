"""Room: what records show. Door: ``render`` writes every registered report of one or more records.

Free of torch, so that results can be looked at where nothing can be trained.
"""

from rarefy.reports._door import REPORTS, Report, ReportError, render

__all__ = ["REPORTS", "Report", "ReportError", "render"]

REPORTS.discover(__name__)
