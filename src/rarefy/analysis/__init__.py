"""Compares finished runs by their records, without torch: `compare_runs` tests them, `report_runs` shows them."""

from rarefy.analysis._compare import ComparisonRow, MetricTable, RunComparison, compare_runs
from rarefy.analysis._finished import CompareError, read_runs
from rarefy.analysis._joint_page import render_joint_page
from rarefy.analysis._report import report_runs
from rarefy.analysis._serve import LivePages, LiveServer

__all__ = [
    "CompareError",
    "ComparisonRow",
    "LivePages",
    "LiveServer",
    "MetricTable",
    "RunComparison",
    "compare_runs",
    "read_runs",
    "render_joint_page",
    "report_runs",
]
