"""Progress of a sweep: a live table on a terminal, a plain line per change of a run's state elsewhere."""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rarefy.cli._console import percent, table
from rarefy.cli._fit import fit_columns
from rarefy.cli._progress import clock

if TYPE_CHECKING:
    from rarefy.sweeps import Status

_DRAW_EVERY = 0.5  # seconds
_SHORTEST = 12  # columns to which settings and messages may shrink
_STYLES = {"done": "green", "running": "cyan", "failed": "bold red", "elsewhere": "yellow", "stopped": "yellow"}
_SETTLED = ("done", "waiting")  # states that a screen too small for all runs leaves out first


class SweepProgress:
    """Shows the runs of a sweep while they go on.

    Args:
        screen: Where to show them.
    """

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._live = Live(console=screen, auto_refresh=False, transient=True) if screen.is_terminal else None
        self._drawn_at = -_DRAW_EVERY
        self._printed: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> SweepProgress:
        """Starts the live table, if there is one."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it, also when something went wrong."""
        if self._live:
            self._live.stop()

    def __call__(self, statuses: Sequence[Status]) -> None:
        """Shows what is new."""
        if self._live is None:
            self._print_changes(statuses)
        elif time.monotonic() - self._drawn_at >= _DRAW_EVERY:
            self._drawn_at = time.monotonic()
            rows, width = _fitting(statuses, self._screen.height - 5), self._screen.width
            done = Table.grid()  # a bar alone does not end its line
            done.add_row(ProgressBar(total=1.0, completed=compute_progress(statuses), width=min(40, width)))
            self._live.update(Group(overview(rows, width), done, format_counts(statuses)), refresh=True)

    def _print_changes(self, statuses: Sequence[Status]) -> None:
        """A line for each run whose state, or failed attempts, changed; one for all that were done before."""
        if not self._printed:
            self._screen.print(format_counts(statuses))
            self._printed = {status.run.id: (status.state.value, status.attempts) for status in statuses}
        for status in statuses:
            now = (status.state.value, status.attempts)
            if self._printed[status.run.id] != now:
                self._printed[status.run.id] = now
                self._screen.print(_line(status, statuses))


def overview(statuses: Sequence[Status], width: int) -> Table:
    """Builds a table of all runs: state, epoch, accuracy, time left; leaves out what `width` has no space for."""
    rows = [
        (
            status.run.id,
            status.run.label,
            Text(status.state.value, _STYLES.get(status.state.value, "")),
            f"{status.epoch}/{status.epochs}",
            percent(status.accuracy),
            _left(status.seconds_left if status.epoch else None),
            _shortened(status.message),
        )
        for status in statuses
    ]
    columns = ("run", "settings", "state", "epoch", "accuracy", "left", "")
    short = [[str(cell)[:_SHORTEST] for cell in row] for row in rows]  # longer cells go on in the next line
    kept = fit_columns(columns, short, width, drop=("left", "epoch", "accuracy", "settings"))
    grid = table(None, [columns[index] for index in kept], [[row[index] for index in kept] for row in rows])
    for column in grid.columns:
        if column.header in ("settings", "state", ""):
            column.justify = "left"
    return grid


def compute_progress(statuses: Sequence[Status]) -> float:
    """Computes the fraction of all epochs that are done."""
    done = sum(status.epochs if status.state.is_final else status.epoch for status in statuses)
    return done / max(1, sum(status.epochs for status in statuses))


def format_counts(statuses: Sequence[Status]) -> str:
    """How many runs are in which state, and about how long the rest takes."""
    states = collections.Counter(status.state.value for status in statuses)
    parts = [f"{number} {state}" for state, number in states.items() if state != "done"]
    left = seconds_left(statuses)
    about = f"; about {clock(left)} left" if left else ""
    return ", ".join([f"{states['done']} of {len(statuses)} done", *parts]) + about


def seconds_left(statuses: Sequence[Status]) -> float | None:
    """Estimates the time left at the current number of workers; None if no speed is known."""
    known = [status.seconds_per_epoch for status in statuses if status.seconds_per_epoch is not None]
    at_work = sum(status.state.value in ("running", "elsewhere") for status in statuses)
    if not known or not at_work:
        return None
    usual = sum(known) / len(known)
    todo = [status for status in statuses if not status.state.is_final]
    return sum((status.seconds_per_epoch or usual) * (status.epochs - status.epoch) for status in todo) / at_work


def _line(status: Status, statuses: Sequence[Status]) -> str:
    done = sum(other.state.is_final for other in statuses)
    accuracy = f"  accuracy {percent(status.accuracy)}" if status.state.value == "done" else ""
    attempt = f"  attempt {status.attempts}" if status.attempts > 1 else ""
    words = f"  {_shortened(status.message)}" if status.message else ""
    left = seconds_left(statuses) if status.state.is_final else None
    about = f"  about {clock(left)} left" if left else ""
    return (
        f"[{done}/{len(statuses)}] {status.run.id} {status.run.label}  "
        f"{status.state.value}{attempt}{accuracy}{words}{about}"
    )


def _fitting(statuses: Sequence[Status], height: int) -> list[Status]:
    """Selects the runs that fit on the screen: active and failed ones, then the last done, then the next."""
    room = max(1, height)
    by_need = sorted(statuses, key=lambda status: status.state.value in _SETTLED)
    busy = sum(status.state.value not in _SETTLED for status in statuses)
    done = [status for status in by_need[busy:] if status.state.value == "done"]
    waiting = [status for status in by_need[busy:] if status.state.value == "waiting"]
    rest = room - min(room, busy)
    ahead = waiting[: rest - min(len(done), rest // 2)]
    past = done[len(done) - min(len(done), rest - len(ahead)) :]
    chosen = {status.run.id for status in [*by_need[: min(room, busy)], *past, *ahead]}
    return [status for status in statuses if status.run.id in chosen]


def _left(seconds: float | None) -> str:
    return "" if seconds is None else clock(seconds)


def _shortened(words: str, limit: int = 60) -> str:
    return words if len(words) <= limit else f"{words[: limit - 3]}..."
