"""The one figure that most of a report consists of: a number against density, a line a method, dense as a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rarefy.reports._evaluation._svg import spanning
from rarefy.reports._study._blocks import sayer, seeds, share, slug, spread
from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._published import Published
from rarefy.reports._study._study import DENSE, Cell, Sample, Study, by_method, dense_of

BAND = "Band: ± standard deviation over seeds."
_NEAREST = 1.11  # factor between densities that both get a tick


def against_density(study: Study, panel: str, metric: str, title: str, label: str, *, points: bool) -> Figure | None:
    """A metric of a panel against density; None where no run has it.

    Args:
        study: All that is known.
        panel: Name of the panel.
        metric: Dotted name of the metric.
        title: What it is called in headings.
        label: Of its axis.
        points: Whether it is shown in percent.
    """
    cells = [cell for cell in study.panels[panel] if metric in cell.numbers]
    if not cells:
        return None
    dense = dense_of(cells)
    lines = [_line(study, found, metric, points=points) for found in by_method(cells).values()]
    levels = [_level(dense, dense.numbers[metric], points=points)] if dense else []
    known = [row for row in study.shown if (row.data, row.model, row.metric) == (cells[0].data, cells[0].model, metric)]
    marks = _hollow(study, known, points=points)
    densities = sorted({density for one in (*lines, *marks) for density in one.x if density < 1})
    caption = BAND + (" Hollow: published numbers, not ours." if marks else "")
    return Figure(
        slug(metric, panel), f"{title}: {panel}", density_axis(densities),
        Axis(label, metric, 100.0 if points else 1.0), (*levels, *lines, *marks), caption,
    )  # fmt: skip


def density_axis(densities: Sequence[float]) -> Axis:
    """Density on a logarithmic axis, the densest on the left: read from left to right, it gets sparser as in papers."""
    ticks: list[float] = []
    for density in sorted({*densities, 1.0}, reverse=True):
        if not ticks or ticks[-1] / density >= _NEAREST:
            ticks.append(density)
    span = (0.9 * min(densities, default=0.5), 1.06)
    label = "density, % of weights kept (sparser to the right)"
    return Axis(label, "density", 100.0, log=True, reverse=True, span=span, ticks=tuple(ticks))


def logarithmic(label: str, name: str, series: Sequence[Series], scale: float = 1.0) -> Axis:
    """A logarithmic axis that holds some lines and their bands, with few round ticks."""
    found = spanning(label, (height for one in series for height in (*one.y, *one.low, *one.high)), log=True)
    return Axis(label, name, scale, log=True, span=(found.low, found.high), ticks=tuple(found.ticks()))


def sample_said(who: str, sample: Sample, *, points: bool) -> str:
    """``erk, density 10% (sparsity 90%): 91.20 ± 0.21%, 3 seeds``."""
    unit = "%" if points else ""
    return f"{who}: {spread(sample.mean, sample.deviation, points=points)}{unit}, {seeds(len(sample.values))}"


def _line(study: Study, cells: Sequence[Cell], metric: str, *, points: bool) -> Series:
    samples = [cell.numbers[metric] for cell in cells]
    low, high = zip(*(sample.band for sample in samples), strict=True)
    said = [
        sample_said(f"{cell.method}, {share(cell.density)}", sample, points=points)
        for cell, sample in zip(cells, samples, strict=True)
    ]
    method, several = cells[0].method, any(sample.deviation is not None for sample in samples)
    return Series(
        method, study.style(method), tuple(cell.density for cell in cells), tuple(sample.mean for sample in samples),
        low if several else (), high if several else (), tuple(said),
    )  # fmt: skip


def _level(dense: Cell, sample: Sample, *, points: bool) -> Series:
    low, high = ((end,) for end in sample.band) if sample.deviation is not None else ((), ())
    said = (sample_said("dense", sample, points=points),)
    return Series("dense", DENSE, (dense.density,), (sample.mean,), low, high, said, "level")


def _hollow(study: Study, rows: Sequence[Published], *, points: bool) -> list[Series]:
    found: Mapping[str, list[Published]] = {row.method: [] for row in rows}
    for row in sorted(rows, key=lambda row: -row.density):
        found[row.method].append(row)
    say = sayer(points=points)
    return [
        Series(
            f"{method}, published", DENSE if several[0].dense else study.style(method),
            tuple(row.density for row in several), tuple(row.value for row in several),
            said=tuple(_source(row, say(row.value), say(row.std) if row.std is not None else "") for row in several),
            kind="hollow",
        )
        for method, several in found.items()
    ]  # fmt: skip


def _source(row: Published, value: str, std: str) -> str:
    about = "; ".join(text for text in (row.source, row.certainty and f"certainty: {row.certainty}", row.note) if text)
    what = "dense" if row.dense else f"{row.method}, {share(row.density)}"
    return f"{what}, published: {value}{f' ± {std}' if std else ''}. {about}"
