"""The page of a search for a density: the answer, the curve behind it, what it saves, every training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Block, Cell, Figure, Figures, Label, Note, Section, Sheet, Table
from rarefy.reports._evaluation._page import write_page
from rarefy.reports._evaluation._svg import Panel, spanning
from rarefy.reports._render import ReportError

Values = Mapping[str, Any]
_FULL, _SHORT = 0, 1
_MOST_MARGINS = 8  # below dense, that the picture of differences shows
_NEEDED = ("answer", "caveats", "density", "densities", "margin", "steps", "evidence")


def render_density(found: Values, page: Path) -> list[Path]:
    """Writes what `rarefy find-density` found as one page, its numbers as CSV beside it, and all of it as JSON.

    The page is a single HTML file that needs nothing else, neither network nor scripts. Each file is complete or as it
    was.

    Args:
        found: `rarefy.search.Found.as_dict`; beside it ``title`` (else the answer), ``about`` (lines of text),
            ``savings`` (mappings of name, unit, dense and sparse), and in each of ``evidence`` what else is known.
        page: The HTML file to write; CSV files go to a folder beside it, named after it without its suffix.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If something is missing, or the page's name has no suffix.

    Example:
        >>> import tempfile
        >>> found = {"answer": "None.", "caveats": [], "density": 1.0, "densities": [0.1], "margin": 0.005, "steps": [],
        ...     "evidence": [{"density": 1.0, "seed": 17, "effort": 1.0, "accuracy": 0.9}]}
        >>> page = Path(tempfile.mkdtemp()) / "found.html"
        >>> [path.relative_to(page.parent).as_posix() for path in render_density(found, page)]
        ['found.html', 'found/evidence.csv', 'found.json']
    """
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise ReportError(f"The result of a search has no {', '.join(missing)}; give what Found.as_dict() returns.")
    sections = [_answer(found), *_savings(found.get("savings", ())), _evidence(found["evidence"]), _how(found)]
    groups = [Label("full trainings", _FULL), Label("short trainings", _SHORT)]
    json_text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    return write_page(
        page, found.get("title", found["answer"]), sections, groups, {page.with_suffix(".json"): json_text}
    )


def _answer(found: Values) -> Section:
    steps = found["steps"]
    blocks: list[Block] = [Note(text) for text in found["caveats"]]
    if steps:
        blocks += [Figures(list(_figures(found)), wide=True), _steps(steps)]
    columns = ["density", "effort", "full", "seeds", "mean", "mean_low", "mean_high", "dense", "difference", "low"]
    columns += ["high", "passed", "verdict", "seeds_needed"]
    sheet = Sheet("steps", columns, [_flat(step) for step in steps])
    about = " ".join([found["answer"], *found.get("about", ())])
    return Section("answer", "Answer", about, blocks, [sheet], legend=True)


def _figures(found: Values) -> Iterator[Figure]:
    steps = found["steps"]
    yield _curve(found, steps)
    full = [step for step in steps if step["is_full"] and step["comparison"]["welch"]]
    if full:
        yield _differences(found, full)


def _curve(found: Values, steps: Sequence[Values]) -> Figure:
    """Accuracy against density; dense is a line, the margin below it a band."""
    groups = [(group, sorted(_of(steps, group), key=lambda step: step["density"])) for group in (_SHORT, _FULL)]
    means = [step["comparison"][who] for step in steps for who in ("group", "baseline")]
    heights = [height for mean in means for height in (mean["mean"], *_inside(mean["interval"]))]
    x = spanning("density", [step["density"] for step in steps], log=True)
    y = spanning("accuracy", heights, say=lambda value: f"{100 * value:.3g}%")
    panel = Panel(x, y, width=480, height=320)
    if found["density"] < 1:
        panel.guide((found["density"], y.low), (found["density"], y.high))
    for group, several in groups:
        if several:
            dense = several[0]["comparison"]["baseline"]["mean"]
            panel.band(
                max(y.low, dense - found["margin"]), dense, group, f"dense, {words.percent(dense)}, less the margin"
            )
            panel.line([(x.low, dense), (x.high, dense)], group, f"dense, {words.percent(dense)}")
            _draw(panel, several, group)
    alt = "Mean accuracy by density. " + " ".join(
        f"{_kind(step)} {step['density']:g}: {words.percent(step['comparison']['group']['mean'])}." for step in steps
    )
    caption = (
        "Means with 90% t intervals over seeds. Level lines are dense, the bands below them the margin; the "
        "upright line is the answer."
    )
    return Figure("Accuracy by density", panel.svg(alt), caption, "steps")


def _draw(panel: Panel, steps: Sequence[Values], group: int) -> None:
    points = [(step["density"], step["comparison"]["group"]["mean"]) for step in steps]
    said = [
        f"{_kind(step)}, density {step['density']:g}: {words.percent(mean)}"
        for step, (_, mean) in zip(steps, points, strict=True)
    ]
    for step in steps:
        bounds = step["comparison"]["group"]["interval"]
        if bounds and group == _FULL:
            panel.bar(step["density"], _inside(bounds), group)
    if len(points) > 1:
        panel.line(points, group, _kind(steps[0]))
    panel.dots(points, group, said, hollow=group == _SHORT)


def _inside(bounds: Sequence[float] | None) -> list[float]:
    """The ends of an interval of accuracies that can be reached: a t interval of few seeds may leave [0, 1]."""
    return [min(max(end, 0.0), 1.0) for end in bounds or ()]


def _differences(found: Values, steps: Sequence[Values]) -> Figure:
    """What decides: a density is within the margin where its interval is above the dashed line."""
    margin, floor = 100 * found["margin"], -_MOST_MARGINS * 100 * found["margin"]
    shown = [step for step in steps if 100 * step["comparison"]["difference"] > floor]
    below = [step for step in steps if step not in shown]
    ends = [max(100 * end, floor) for step in shown for end in step["comparison"]["welch"]]
    x = spanning("density", [step["density"] for step in shown or steps], log=True)
    y = spanning("difference to dense, in points", [*ends, 0.0, -margin], say="{:+g}".format)
    panel = Panel(x, y, width=480, height=320)
    panel.band(-margin, 0.0, _FULL, f"the margin, {margin:g} points")
    panel.guide((x.low, -margin), (x.high, -margin))
    for step in shown:
        low, high = (100 * end for end in step["comparison"]["welch"])
        panel.bar(step["density"], (max(low, floor), high), _FULL)
        middle, passed = 100 * step["comparison"]["difference"], step["comparison"]["verdict"] == "yes"
        panel.dots([(step["density"], middle)], _FULL, [_judged(step)], [4.5], hollow=not passed)
    alt = "Difference to dense by density. " + " ".join(map(_judged, steps))
    left_out = f" Below the picture: {' '.join(map(_judged, below))}" if below else ""
    caption = (
        "Full trainings, 90% Welch intervals. A density is within the margin (a full dot) if its interval lies above "
        f"the dashed line.{left_out}"
    )
    return Figure("Difference to dense", panel.svg(alt), caption, "steps")


def _judged(step: Values) -> str:
    found = step["comparison"]
    low, high = (100 * end for end in found["welch"])
    between = f"{100 * found['difference']:+.2f} points ({low:+.2f} to {high:+.2f})"
    return f"Density {step['density']:g}: {between}, within the margin: {found['verdict']}."


def _of(steps: Sequence[Values], group: int) -> list[Values]:
    return [step for step in steps if step["is_full"] == (group == _FULL)]


def _kind(step: Values) -> str:
    return "full" if step["is_full"] else "short"


def _steps(steps: Sequence[Values]) -> Table:
    rows: list[list[Cell]] = []
    for step in steps:
        found = step["comparison"]
        verdict = found["verdict"] if step["is_full"] else "near enough" if step["passed"] else "too far"
        between = "" if not found["welch"] else f" ({100 * found['welch'][0]:+.2f} to {100 * found['welch'][1]:+.2f})"
        rows.append(
            [
                Label(_kind(step), _FULL if step["is_full"] else _SHORT),
                f"{step['density']:g}",
                str(len(found["group"]["values"])),
                words.percent(found["group"]["mean"]),
                words.percent(found["baseline"]["mean"]),
                f"{100 * found['difference']:+.2f}{between}",
                f"{-100 * step['tolerance']:.2g}",
                verdict,
                words.whole(found["seeds"]) if step["is_full"] else words.NOTHING,
            ]
        )
    columns = ["training", "density", "seeds", "mean", "dense", "difference in points (90% interval)", "limit"]
    columns += ["within the margin", "seeds it would take"]
    return Table("Every comparison, in the order in which it was made", columns, rows, sheet="steps", words=(7,))


def _flat(step: Values) -> list[object]:
    found = step["comparison"]
    group, bounds = found["group"], found["welch"] or (None, None)
    own = [step["density"], step["effort"], step["is_full"], len(group["values"]), group["mean"]]
    own += [*(group["interval"] or (None, None)), found["baseline"]["mean"], found["difference"], *bounds]
    return [*own, step["passed"], found["verdict"], found["seeds"]]


def _savings(savings: Sequence[Values]) -> Iterator[Section]:
    if not savings:
        return
    rows: list[list[Cell]] = [
        [
            each["name"],
            _said(each, "dense"),
            _said(each, "sparse"),
            words.percent(each["sparse"] / each["dense"], 1),
            f"{each['dense'] / each['sparse']:.2f}x",
        ]
        for each in savings
    ]
    about = (
        "FLOPs count 2 per multiply-add of kept weights, whether or not an engine saves the others; of training they "
        "are those of one image and step. Times are medians of turns of the dense network and of the sparse one with "
        "the engine auto, which measures and computes sparse what is faster so; on a busy machine they say little."
    )
    columns = ["quantity", "dense", "sparse", "share", "less by"]
    sheet = Sheet(
        "savings",
        ["quantity", "unit", "dense", "sparse"],
        [[s["name"], s["unit"], s["dense"], s["sparse"]] for s in savings],
    )
    yield Section(
        "savings",
        "What it saves",
        about,
        [Table("Dense, and the density that was found", columns, rows, sheet="savings")],
        [sheet],
    )


def _said(saving: Values, who: str) -> str:
    value, unit = saving[who], saving["unit"]
    return words.seconds(value) if unit == "s" else words.quantity(value, unit) if unit else words.whole(value)


def _evidence(trials: Sequence[Values]) -> Section:
    names = list(dict.fromkeys(name for trial in trials for name in trial))
    rows: list[list[Cell]] = [[_cell(name, trial.get(name)) for name in names] for trial in trials]
    sheet = Sheet("evidence", names, [[trial.get(name) for name in names] for trial in trials])
    table = Table("In the order in which they were asked for", names, rows, sheet="evidence")
    return Section(
        "evidence", "Every training", "Density 1 is dense; effort is the share of a full training.", [table], [sheet]
    )


def _cell(name: str, value: Any) -> str:
    if name == "accuracy":
        return words.percent(value)
    return f"{value:g}" if isinstance(value, float) else words.NOTHING if value is None else str(value)


def _how(found: Values) -> Section:
    texts = (
        "Short trainings, with two seeds, halve the ladder: a density counts as near enough if its mean is below that "
        "of dense by at most twice the margin plus two standard errors, the spread pooled over dense and what was near "
        "enough before. They only say where to look.",
        "Full trainings with all seeds decide, beginning there: a density is within the margin if the one-sided Welch "
        "t test of non-inferiority at 5% says so. While it is, 1, 2, 4, ... steps sparser are tried, else denser; then "
        "what is between is halved.",
        "Seeds are the same at every density and are treated as independent samples, not as pairs. Nothing is "
        "corrected for the number of densities tested, so that one that is not within the margin passes somewhere a "
        "little more often than in 5% of cases.",
    )
    ladder = ", ".join(f"{density:g}" for density in found["densities"])
    blocks = [Note(text) for text in (*texts, f"The ladder: {ladder}.")]
    return Section(
        "how", "How it was found", "The search ends after a number of trainings that is known before.", blocks
    )
