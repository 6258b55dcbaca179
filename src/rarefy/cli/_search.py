"""Shows the progress of a search and its savings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from rarefy.cli._console import percent, quantity, table
from rarefy.cli._progress import clock
from rarefy.cli._sweep import SweepProgress

if TYPE_CHECKING:
    from rarefy.search import Saving, SearchUpdate
    from rarefy.sweeps import Status


class SearchProgress:
    """Shows the current runs, each comparison, and the most time left.

    Args:
        screen: Where to show them.
    """

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._batch: SweepProgress | None = None
        self._ids: list[str] = []

    def __enter__(self) -> SearchProgress:
        """Shows nothing yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends what is shown."""
        self._close()

    def runs(self, statuses: Sequence[Status]) -> None:
        """Shows the runs that are trained now; runs trained earlier are not shown again."""
        ids = [status.run.id for status in statuses]
        if ids != self._ids:
            self._close()
            self._ids = ids
            if any(status.state.value != "done" for status in statuses):
                self._batch = SweepProgress(self._screen).__enter__()
        if self._batch:
            self._batch(statuses)

    def step(self, progress: SearchUpdate) -> None:
        """Prints a comparison and the most time left."""
        self._close()
        most, left = progress.budget, progress.seconds_left
        if progress.step is None:
            self._screen.print(f"At most {most.short} short runs and {most.full} full ones, dense ones included.")
            return
        self._screen.print(str(progress.step))
        if left:
            self._screen.print(f"at most {clock(left)} left")

    def _close(self) -> None:
        if self._batch:
            self._batch.__exit__()
        self._batch, self._ids = None, []


def savings_table(savings: Sequence[Saving]) -> Table:
    """Builds the table of savings, one row per quantity."""
    rows = [
        (
            saving.name,
            _format_value(saving.dense, saving.unit),
            _format_value(saving.sparse, saving.unit),
            percent(saving.share),
        )
        for saving in savings
    ]
    return table(None, ("what it saves", "dense", "sparse", "share"), rows)


def _format_value(value: float, unit: str) -> str:
    if unit == "s":
        return f"{1000 * value:.3g} ms"
    return f"{quantity(value)}B" if unit == "B" else quantity(value) if unit else f"{value:,.0f}"
