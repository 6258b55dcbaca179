"""The page a person looks at after an evaluation. Door: ``render_evaluation``; every public file is a section of it."""

from rarefy.reports._evaluation._build_page import Evaluated, render_evaluation

__all__ = ["Evaluated", "render_evaluation"]
