"""Reports: figures, tables and pages made from records.

``render`` writes every registered report of one or more records; ``render_evaluation`` the page of an evaluation, of
one run or of several side by side; ``render_density`` that of a search for a density; ``render_report`` that of many
runs, with figures and tables for a paper.

Imports no torch, so that results can be looked at where nothing can be trained.
"""

from rarefy.reports._density import render_density
from rarefy.reports._model_names import ModelName, parse_model_name, read_sizes
from rarefy.reports._render import REPORTS, Report, ReportError, render
from rarefy.reports._titles import title_data, title_family, title_method, title_model, title_run
from rarefy.reports.evaluation import EvaluatedRun, render_evaluation
from rarefy.reports.figures import Axis, Figure, Series, assign_styles, draw_files
from rarefy.reports.live import LiveRun, LiveSweep, render_live
from rarefy.reports.pages import ReportProgress, Section, format_csv
from rarefy.reports.study import (
    MetricVerdicts,
    PublishedResult,
    RateCurve,
    RunGroup,
    SeedSummary,
    Study,
    UnfinishedRun,
    build_answer,
    build_rate_figure,
    read_published,
    render_report,
)

__all__ = [
    "REPORTS",
    "Axis",
    "EvaluatedRun",
    "Figure",
    "LiveRun",
    "LiveSweep",
    "MetricVerdicts",
    "ModelName",
    "PublishedResult",
    "RateCurve",
    "Report",
    "ReportError",
    "ReportProgress",
    "RunGroup",
    "Section",
    "SeedSummary",
    "Series",
    "Study",
    "UnfinishedRun",
    "assign_styles",
    "build_answer",
    "build_rate_figure",
    "draw_files",
    "format_csv",
    "parse_model_name",
    "read_published",
    "read_sizes",
    "render",
    "render_density",
    "render_evaluation",
    "render_live",
    "render_report",
    "title_data",
    "title_family",
    "title_method",
    "title_model",
    "title_run",
]

REPORTS.discover(__name__)
