"""Sphinx: furo, Markdown by myst, the API from docstrings. Needs no network."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "rarefy"
author = "The rarefy authors"
copyright = author
release = importlib.metadata.version("rarefy")
version = release

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton", "record_schema",
    "published_networks",
]  # fmt: skip
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks hold their results; the tests run them

autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

sys.path.insert(0, str(Path(__file__).parents[1]))
from hatch_build import find_repository  # noqa: E402

html_theme = "furo"
if repository := find_repository():  # links to view and edit a page's source
    html_theme_options = {
        "source_view_link": f"{repository}/blob/main/docs/{{filename}}",
        "source_edit_link": f"{repository}/edit/main/docs/{{filename}}",
    }
html_title = f"rarefy {release}"
