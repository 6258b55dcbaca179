"""The page of a search for a density: the answer, the curve behind it, the savings, every training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rarefy.paths import replace_file
from rarefy.reports._render import ReportError
from rarefy.reports.figures import DENSE, Figure, Series, Sheet, fit_axis
from rarefy.reports.pages import (
    NOTHING,
    Block,
    Figures,
    Note,
    Section,
    Table,
    format_count,
    format_percent,
    format_quantity,
    format_seconds,
    make_columns,
    write_page,
)

Values = Mapping[str, Any]
_FULL, _SHORT = 0, 10  # style numbers of one colour
_WITHIN = "within the margin"
_MOST_MARGINS = 8  # below dense, that the figure of differences shows
_NEEDED = ("answer", "caveats", "density", "densities", "margin", "steps", "evidence")
_STEP_COLUMNS = (
    *("density", "effort", "full", "seeds", "mean", "mean_low", "mean_high", "dense", "difference", "low"),
    *("high", "passed", "verdict", "seeds_needed"),
)


def render_density(result: Values, page: Path) -> list[Path]:
    """Writes the result of `rarefy find-density` as one page, its numbers as CSV next to it, and all of it as JSON.

    The page is a single HTML file that needs no other file and no network. Each file is complete or as it was.

    Args:
        result: The result of a search as plain values (its ``as_dict``), with, if known, ``title`` (else the answer),
            ``about`` (lines of text) and ``savings`` (mappings of name, unit, dense and sparse).
        page: The HTML file to write; CSV files go to a folder next to it, named after it without its suffix.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If a value is missing, or the page's name has no suffix.

    Example:
        >>> import tempfile
        >>> result = {"answer": "None.", "caveats": [], "density": 1.0, "densities": [0.1], "margin": 0.005,
        ...     "steps": [], "evidence": [{"density": 1.0, "seed": 17, "effort": 1.0, "accuracy": 0.9}]}
        >>> page = Path(tempfile.mkdtemp()) / "found.html"
        >>> [path.relative_to(page.parent).as_posix() for path in render_density(result, page)]
        ['found.html', 'found/evidence.csv', 'found.json']
    """
    missing = [name for name in _NEEDED if name not in result]
    if missing:
        raise ReportError(f"The result of a search has no {', '.join(missing)}; give what its as_dict() returns.")
    sections = [
        _build_answer(result), *_build_savings(result.get("savings", ())), _build_evidence(result["evidence"]),
        _build_method(result),
    ]  # fmt: skip
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    written = write_page(page, result.get("title", result["answer"]), sections, folder=page.with_suffix(""))
    with replace_file(page.with_suffix(".json")) as partial:
        partial.write_text(text, "utf-8")
    return [*written, page.with_suffix(".json")]


def _build_answer(result: Values) -> Section:
    steps = result["steps"]
    blocks: list[Block] = [Note(text) for text in result["caveats"]]
    if steps:
        sheet = Sheet("steps", _STEP_COLUMNS, list(map(_list_step, steps)))
        blocks += [Figures("", list(_draw_figures(result, sheet))), _build_steps(steps, sheet)]
    about = " ".join([result["answer"], *result.get("about", ())])
    return Section("answer", "Answer", about, blocks)


def _draw_figures(result: Values, sheet: Sheet) -> Iterator[Figure]:
    yield _draw_accuracy(result, sheet)
    tested = [step for step in result["steps"] if step["is_full"] and step["comparison"]["welch"]]
    if tested:
        yield _draw_differences(result, tested, sheet)


def _draw_accuracy(result: Values, sheet: Sheet) -> Figure:
    """Draws accuracy against density; dense is a level, the margin below it a band."""
    steps, margin = result["steps"], result["margin"]
    means = [step["comparison"][name] for step in steps for name in ("group", "baseline")]
    heights = [height for mean in means for height in (mean["mean"], *_clip(mean["interval"]))]
    y = fit_axis("accuracy, %", "accuracy", heights, scale=100.0)
    assert y.span
    series = []
    if result["density"] < 1:
        series.append(Series("", _FULL, (result["density"],) * 2, y.span, kind="guide"))
    for style, kind in ((_SHORT, "short"), (_FULL, "full")):
        members = sorted((s for s in steps if s["is_full"] == (style == _FULL)), key=lambda step: step["density"])
        if members:
            dense = members[0]["comparison"]["baseline"]["mean"]
            band, tips = (max(y.span[0], dense - margin),), (f"dense, {kind}: {format_percent(dense)}",)
            number = DENSE if style == _FULL else DENSE - 1
            x = (members[0]["density"],)
            series.append(Series(f"dense, {kind}", number, x, (dense,), band, (dense,), tips, "level"))
            series.append(_build_curve(members, style, kind))
    texts = (f"{_name_kind(s)} {s['density']:g}: {format_percent(s['comparison']['group']['mean'])}." for s in steps)
    caption = (
        "Means with 90% t intervals over seeds. Horizontal lines are dense, with the margin as a band below; the "
        "vertical line is the answer."
    )
    x_axis = fit_axis("density", "density", [step["density"] for step in steps], log=True)
    description = f"Mean accuracy by density. {' '.join(texts)}"
    return Figure("accuracy", "Accuracy by density", x_axis, y, tuple(series), caption, description, sheet)


def _build_curve(steps: Sequence[Values], style: int, kind: str) -> Series:
    means = tuple(step["comparison"]["group"]["mean"] for step in steps)
    ends = [_clip(s["comparison"]["group"]["interval"]) or (m, m) for s, m in zip(steps, means, strict=True)]
    low, high = zip(*ends, strict=True) if style == _FULL else ((), ())
    densities = tuple(step["density"] for step in steps)
    tips = tuple(f"{kind}, density {d:g}: {format_percent(mean)}" for d, mean in zip(densities, means, strict=True))
    return Series(kind, style, densities, means, low, high, tips, has_bars=True)


def _clip(interval: Sequence[float] | None) -> list[float]:
    """Clips an interval to [0, 1], which a t interval of few seeds may leave."""
    return [min(max(end, 0.0), 1.0) for end in interval or ()]


def _draw_differences(result: Values, steps: Sequence[Values], sheet: Sheet) -> Figure:
    """Draws what decides: a density is within the margin if its interval lies above the dashed line."""
    margin = result["margin"]
    floor = -_MOST_MARGINS * margin
    shown = [step for step in steps if step["comparison"]["difference"] > floor]
    below = [step for step in steps if step not in shown]
    ends = [max(end, floor) for step in shown for end in step["comparison"]["welch"]]
    x = fit_axis("density", "density", [step["density"] for step in shown or steps], log=True)
    y = fit_axis("difference to dense, in points", "difference", [*ends, 0.0, -margin], scale=100.0)
    assert x.span
    level = Series(
        "dense", DENSE, x.span[:1], (0.0,), (-margin,), (0.0,), (f"margin: {100 * margin:g} points",), "level"
    )
    series = [level, Series("", _FULL, x.span, (-margin, -margin), kind="guide")]
    kinds: tuple[tuple[str, Literal["dots", "hollow"]], ...] = ((_WITHIN, "dots"), (f"not {_WITHIN}", "hollow"))
    for label, kind in kinds:
        members = [s for s in shown if (s["comparison"]["verdict"] == "yes") == (kind == "dots")]
        if members:
            low, high = zip(
                *((max(s["comparison"]["welch"][0], floor), s["comparison"]["welch"][1]) for s in members), strict=True
            )
            values = tuple(step["comparison"]["difference"] for step in members)
            densities, tips = tuple(step["density"] for step in members), tuple(map(_format_verdict, members))
            series.append(Series(label, _FULL, densities, values, low, high, tips, kind, has_bars=True))
    left_out = f" Below the figure: {' '.join(map(_format_verdict, below))}" if below else ""
    caption = (
        "Full trainings, 90% Welch intervals. A density is within the margin (a filled dot) if its interval lies above "
        f"the dashed line.{left_out}"
    )
    description = "Difference to dense by density. " + " ".join(map(_format_verdict, steps))
    return Figure("differences", "Difference to dense", x, y, tuple(series), caption, description, sheet)


def _format_verdict(step: Values) -> str:
    comparison = step["comparison"]
    low, high = (100 * end for end in comparison["welch"])
    difference = f"{100 * comparison['difference']:+.2f} points ({low:+.2f} to {high:+.2f})"
    return f"Density {step['density']:g}: {difference}, within the margin: {comparison['verdict']}."


def _name_kind(step: Values) -> str:
    return "full" if step["is_full"] else "short"


def _build_steps(steps: Sequence[Values], sheet: Sheet) -> Table:
    rows = []
    for step in steps:
        comparison, welch = step["comparison"], step["comparison"]["welch"]
        interval = f" ({100 * welch[0]:+.2f} to {100 * welch[1]:+.2f})" if welch else ""
        rows.append(
            [
                _name_kind(step),
                f"{step['density']:g}",
                str(len(comparison["group"]["values"])),
                format_percent(comparison["group"]["mean"]),
                format_percent(comparison["baseline"]["mean"]),
                f"{100 * comparison['difference']:+.2f}{interval}",
                f"{-100 * step['tolerance']:.2g}",
                comparison["verdict"] if step["is_full"] else "near enough" if step["passed"] else "too far",
                format_count(comparison["seeds"]) if step["is_full"] else NOTHING,
            ]
        )
    heads = ["training", "density", "seeds", "mean", "dense", "difference in points (90% interval)", "limit"]
    columns = make_columns(*heads, "within the margin", "seeds needed", texts=(0, 7))
    return Table("", "Every comparison, in order", columns, rows, sheet=sheet)


def _list_step(step: Values) -> list[object]:
    comparison = step["comparison"]
    group, welch = comparison["group"], comparison["welch"] or (None, None)
    own = [step["density"], step["effort"], step["is_full"], len(group["values"]), group["mean"]]
    own += [*(group["interval"] or (None, None)), comparison["baseline"]["mean"], comparison["difference"], *welch]
    return [*own, step["passed"], comparison["verdict"], comparison["seeds"]]


def _build_savings(savings: Sequence[Values]) -> Iterator[Section]:
    if not savings:
        return
    rows = [
        [
            saving["name"],
            _format_saving(saving, "dense"),
            _format_saving(saving, "sparse"),
            format_percent(saving["sparse"] / saving["dense"], 1),
            f"{saving['dense'] / saving['sparse']:.2f}x",
        ]
        for saving in savings
    ]
    about = (
        "FLOPs count 2 per multiply-add of kept weights, whether or not an engine skips the others; training FLOPs are "
        "those of one image and step. Times are medians of the dense network and of the sparse one with the engine "
        "auto, measured in turns; on a busy machine they say little."
    )
    names = ("name", "unit", "dense", "sparse")
    sheet = Sheet("savings", ["quantity", *names[1:]], [[saving[name] for name in names] for saving in savings])
    columns = make_columns("quantity", "dense", "sparse", "share", "factor")
    table = Table("", "Dense, and the density that was found", columns, rows, sheet=sheet)
    yield Section("savings", "What it saves", about, [table])


def _format_saving(saving: Values, name: str) -> str:
    value, unit = saving[name], saving["unit"]
    return format_seconds(value) if unit == "s" else format_quantity(value, unit) if unit else format_count(value)


def _build_evidence(trials: Sequence[Values]) -> Section:
    names = list(dict.fromkeys(name for trial in trials for name in trial))
    sheet = Sheet("evidence", names, [[trial.get(name) for name in names] for trial in trials])
    rows = [[_format_trial(name, trial.get(name)) for name in names] for trial in trials]
    table = Table("", "In the order of the search", make_columns(*names), rows, sheet=sheet)
    about = "Density 1 is dense; effort is the share of a full training."
    return Section("evidence", "Every training", about, [table])


def _format_trial(name: str, value: Any) -> str:
    if name == "accuracy":
        return format_percent(value)
    return f"{value:g}" if isinstance(value, float) else NOTHING if value is None else str(value)


def _build_method(result: Values) -> Section:
    texts = (
        "Short trainings, with two seeds, bisect the densities: a density counts as near enough if its mean is below "
        "that of dense by at most twice the margin plus two standard errors, with the spread pooled over dense and the "
        "densities that were near enough before. They only say where to look.",
        "Full trainings with all seeds decide, starting there: a density is within the margin if the one-sided Welch "
        "t test of non-inferiority at 5% says so. While it is, densities 1, 2, 4, ... steps sparser are tried, else "
        "denser ones; then the interval between is bisected.",
        "Seeds are the same at every density and are treated as independent samples, not as pairs. Nothing is "
        "corrected for the number of densities tested, so that one that is not within the margin passes somewhere a "
        "little more often than in 5% of cases.",
    )
    densities = ", ".join(f"{density:g}" for density in result["densities"])
    blocks = [Note(text) for text in (*texts, f"The densities: {densities}.")]
    about = "The number of trainings is limited, and known before the search begins."
    return Section("how", "How it was found", about, blocks)
