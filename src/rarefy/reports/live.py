"""The page of what is being trained: sweeps and unfinished runs, as they are at the moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rarefy.reports.figures import Axis, Figure, Series, assign_styles, fit_axis
from rarefy.reports.pages import (
    Block,
    Column,
    Figures,
    Label,
    Lead,
    Note,
    Section,
    Share,
    Table,
    build_page,
    format_date,
    format_duration,
    format_percent,
    format_plural,
)

_MOST_LINES = 12  # runs whose curves are drawn
_MANY_EPOCHS, _QUIET = 5.0, 120.0  # epochs and seconds after which a run that writes nothing is called silent


@dataclasses.dataclass(frozen=True)
class LiveRun:
    """A run that has no record yet.

    Args:
        id: Its id.
        name: Method, density and network.
        style_name: Allocation and topology, by which it gets its colour.
        seed: Its seed.
        epochs: Epochs that it is to train.
        history: Its epochs so far, as in ``history.jsonl``.
        silent_seconds: Seconds since it last wrote anything.
        failure: What its last attempt said as it failed; "": nothing.

    Example:
        >>> LiveRun("3f2a", "ERK 10%", "erk", 17, epochs=10).state
        'starting'
    """

    id: str
    name: str
    style_name: str
    seed: int
    epochs: int
    history: tuple[Mapping[str, Any], ...] = ()
    silent_seconds: float = 0.0
    failure: str = ""

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean time of its epochs; None before the first."""
        return sum(epoch["seconds"] for epoch in self.history) / len(self.history) if self.history else None

    @property
    def is_silent(self) -> bool:
        """Whether it has written nothing for so long that nobody seems to train it."""
        return self.silent_seconds > max(_QUIET, _MANY_EPOCHS * (self.seconds_per_epoch or 0.0))

    @property
    def state(self) -> str:
        """``starting``, ``training``, ``silent for 12 minutes`` or ``failed: ...``."""
        if self.failure:
            return f"failed: {self.failure}"
        if self.is_silent:
            return f"silent for {format_duration(self.silent_seconds)}"
        return "training" if self.history else "starting"

    @property
    def seconds_left(self) -> float | None:
        """Time left at the pace so far; None while unknown or if nobody trains it."""
        pace = self.seconds_per_epoch
        return None if pace is None or self.is_silent or self.failure else pace * (self.epochs - len(self.history))


@dataclasses.dataclass(frozen=True)
class LiveSweep:
    """How far a sweep is.

    Args:
        title: Its title or its name.
        started: When it was started, ISO 8601.
        done: Runs with a record.
        unfinished: Runs that were started.
        waiting: Runs that were not.

    Example:
        >>> LiveSweep("Depth", "2026-11-29T09:00:00+00:00", done=3, unfinished=(), waiting=1).total
        4
    """

    title: str
    started: str
    done: int
    unfinished: tuple[LiveRun, ...]
    waiting: int

    @property
    def total(self) -> int:
        """Number of its runs."""
        return self.done + len(self.unfinished) + self.waiting

    @property
    def share(self) -> float:
        """Share of it that is done, epochs of unfinished runs included."""
        parts = sum(len(run.history) / run.epochs for run in self.unfinished)
        return (self.done + parts) / self.total if self.total else 1.0


def render_live(
    title: str, sweeps: Sequence[LiveSweep], runs: Sequence[LiveRun], *, answer: Section | None = None, report: str = ""
) -> str:
    """Renders the page of what is being trained, which reloads itself while a server gives it anew.

    Args:
        title: Its heading.
        sweeps: The sweeps.
        runs: All runs without a record.
        answer: What finished runs say so far.
        report: Address of the report of finished runs; "": there is none yet.

    Returns:
        The page, as HTML.

    Example:
        >>> page = render_live("runs", [], [LiveRun("3f2a", "ERK 10%", "erk", 17, epochs=10)])
        >>> "starting" in page
        True
    """
    sections = [*([answer] if answer else []), _build_progress(sweeps, runs), *_draw_curves(runs)]
    return build_page(title, sections, subtitle="Training now; this page follows it.", report=report, is_live=True)


def _build_progress(sweeps: Sequence[LiveSweep], runs: Sequence[LiveRun]) -> Section:
    blocks: list[Block] = [_build_sweeps(sweeps)] if sweeps else []
    blocks.append(_build_runs(runs) if runs else Lead("No run is unfinished."))
    return Section("progress", "Progress", "", blocks)


def _build_sweeps(sweeps: Sequence[LiveSweep]) -> Table:
    rows = [
        (
            *(sweep.title, format_date(sweep.started) or None, Share(sweep.share), sweep.done, len(sweep.unfinished)),
            *(sweep.waiting, sum(bool(run.failure) for run in sweep.unfinished)),
        )
        for sweep in sweeps
    ]
    columns = (
        *(Column("sweep", is_text=True), Column("started", is_text=True), Column("done")),
        *(Column("finished"), Column("unfinished"), Column("waiting"), Column("failed")),
    )
    return Table("", "Sweeps", columns, rows)


def _build_runs(runs: Sequence[LiveRun]) -> Table:
    styles = _style_runs(runs)
    rows = [
        (
            *(Label(run.name, styles[run.name]), run.seed, f"{len(run.history)} of {run.epochs}"),
            *(_read_last(run, "train_loss"), _read_last(run, "validation_accuracy"), run.seconds_left),
            *(run.state, run.id),
        )
        for run in runs
    ]
    columns = (
        *(Column("run", is_text=True), Column("seed"), Column("epochs"), Column("training loss", "{:.3f}".format)),
        *(Column("validation accuracy", format_percent), Column("time left", format_duration)),
        *(Column("state", is_text=True), Column("id", is_text=True)),
    )
    return Table("", f"{format_plural(len(runs), 'run')} without a record", columns, rows)


def _style_runs(runs: Sequence[LiveRun]) -> dict[str, int]:
    return assign_styles({run.name: run.style_name for run in runs})


def _read_last(run: LiveRun, name: str) -> float | None:
    value: float | None = run.history[-1].get(name) if run.history else None
    return value


def _draw_curves(runs: Sequence[LiveRun]) -> list[Section]:
    known = [run for run in runs if run.history]
    if not known:
        return []
    shown = sorted(known, key=lambda run: run.silent_seconds)[:_MOST_LINES]
    figures = [
        _draw_curve(shown, "train_loss", "Training loss", 1.0),
        _draw_curve(shown, "validation_accuracy", "Validation accuracy", 100.0),
    ]
    notes: list[Block] = []
    if len(known) > len(shown):
        notes = [Note(f"The {len(shown)} runs that wrote something last, of {len(known)}.")]
    return [Section("curves", "Curves", "", [Figures("", [one for one in figures if one.series]), *notes])]


def _draw_curve(runs: Sequence[LiveRun], metric: str, title: str, scale: float) -> Figure:
    styles, series = _style_runs(runs), []
    for run in runs:
        points = [(epoch["epoch"], epoch[metric]) for epoch in run.history if epoch.get(metric) is not None]
        if points:
            x, y = zip(*points, strict=True)
            tips = tuple(f"{run.name}, seed {run.seed}, epoch {at}: {scale * value:.4g}" for at, value in points)
            series.append(Series(f"{run.name}, seed {run.seed}", styles[run.name], x, y, tips=tips))
    label = f"{title.lower()}{', %' if scale == 100 else ''}"
    y_axis = fit_axis(label, metric, [value for one in series for value in one.y], scale=scale)
    last = max((max(one.x) for one in series), default=1)
    x_axis = Axis("epoch", "epoch", span=(0.5, last + 0.5))
    return Figure(f"live-{metric}", title, x_axis, y_axis, tuple(series), description=f"{title} by epoch.")
