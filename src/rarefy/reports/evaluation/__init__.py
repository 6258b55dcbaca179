"""The page of an evaluation; every public file builds one section of it."""

from rarefy.reports.evaluation._build_page import EvaluatedRun, render_evaluation

__all__ = ["EvaluatedRun", "render_evaluation"]
