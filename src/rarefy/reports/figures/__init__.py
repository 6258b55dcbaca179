"""Figures: described once as data, drawn by Plotly on a page and by matplotlib in a file."""

from rarefy.reports.figures._axes import choose_labels, choose_log_ticks, fit_axis, share_heights
from rarefy.reports.figures._confusion import build_confusion_figure
from rarefy.reports.figures._figure import Axis, Figure, Series, Sheet
from rarefy.reports.figures._inline import inline_svg
from rarefy.reports.figures._matplotlib import draw_files, draw_on_axes, draw_panels
from rarefy.reports.figures._plotly import build_plotly
from rarefy.reports.figures._rows import Mark, build_row_figure, shorten
from rarefy.reports.figures._style import DENSE, Style, assign_styles, get_style

__all__ = [
    "DENSE",
    "Axis",
    "Figure",
    "Mark",
    "Series",
    "Sheet",
    "Style",
    "assign_styles",
    "build_confusion_figure",
    "build_plotly",
    "build_row_figure",
    "choose_labels",
    "choose_log_ticks",
    "draw_files",
    "draw_on_axes",
    "draw_panels",
    "fit_axis",
    "get_style",
    "inline_svg",
    "share_heights",
    "shorten",
]
