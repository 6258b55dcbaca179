"""The SVG of a figure as a part of a page: the page's colours, ids of its own, series that can be named and hidden."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rarefy.reports.figures._figure import Figure
from rarefy.reports.figures._style import VARIABLES


def inline_svg(svg: str, name: str, figure: Figure) -> str:
    """Turns an SVG file into a part of a page.

    The shapes of a series are in groups of the class ``s`` and its number, with its tips as titles; the legend and the
    title are in groups of the classes ``legend`` and ``title``.

    Args:
        svg: What `draw_files` has made of the figure.
        name: What ids begin with.
        figure: The figure.
    """
    text = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"(\.\d\d)\d+", r"\1", _mark_series(text, figure))  # hundredths of a pixel will do
    text = re.sub(r"\s+", " ", text).replace("> <", "><")
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {box.group() if box else ""} role="img" aria-label="{html.escape(figure.alt)}"'
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg"'
    return f"{head} {links}>" + text[text.index(">") + 1 :]


def _mark_series(text: str, figure: Figure) -> str:
    """Replaces the ids of matplotlib's groups by classes; each group ends where the next one begins."""
    start, *groups = re.split(r'<g id="([^"]*)">', text)
    marked = [start]
    for gid, body in zip(groups[::2], groups[1::2], strict=True):
        found = re.fullmatch(r"series-(\d+)(?:-(\d+))?", gid)
        if not found:
            marked.append(f'<g class="{gid}">{body}' if gid in ("legend", "title") else f"<g>{body}")
            continue
        tips = figure.series[int(found[1])].tips
        shown = tips if found[2] is None else tips[int(found[2]) : int(found[2]) + 1]
        marked.append(f'<g class="s{found[1]}">{_add_titles(body, shown)}')
    return "".join(marked)


def _add_titles(body: str, tips: Sequence[str]) -> str:
    """Adds a title to each mark, or to each shape where there are no marks, if there is one for each."""
    shapes = re.findall(r"<use [^>]*/>", body) or re.findall(r"<path [^>]*/>", body)
    if len(shapes) != len(tips):
        return body
    parts, rest = [], body
    for shape, tip in zip(shapes, tips, strict=True):
        before, _, rest = rest.partition(shape)
        parts.append(f"{before}{shape[:-2]}><title>{html.escape(tip)}</title></{shape[1 : shape.index(' ')]}>")
    return "".join(parts) + rest
