"""The report of many runs; every public file builds one section of it."""

from rarefy.reports.study._build_page import render_report
from rarefy.reports.study._published import PublishedResult, read_published
from rarefy.reports.study._rate_curves import RateCurve, build_rate_figure
from rarefy.reports.study._study import MetricVerdicts, RunGroup, SeedSummary, Study, UnfinishedRun
from rarefy.reports.study.answer import build_section as build_answer

__all__ = [
    "MetricVerdicts",
    "PublishedResult",
    "RateCurve",
    "RunGroup",
    "SeedSummary",
    "Study",
    "UnfinishedRun",
    "build_answer",
    "build_rate_figure",
    "read_published",
    "render_report",
]
