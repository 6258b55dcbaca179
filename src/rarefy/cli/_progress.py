"""Progress of a training: a live bar on a terminal, one plain line per epoch elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rarefy.cli._console import percent
from rarefy.cli._fit import fit_line
from rarefy.cli._streams import STOPPING

if TYPE_CHECKING:
    from rarefy.training import Event, State

_NARROW = 60  # columns below which there is no bar
_BAR_WIDTH = 44  # columns of the live line besides loss, accuracy and speed
_LINE_EVERY = 30.0  # seconds between lines within an epoch where there is no terminal
_SAID_EVERY = 2.0  # seconds between lines of anything else there
_LOOK_EVERY = 0.5  # seconds between looks at loss and accuracy, which make the device wait


class TrainingProgress:
    """A callback that shows epoch, loss, accuracy, images per second and time left.

    Args:
        screen: Where to show it.
    """

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        bar = [BarColumn(bar_width=14)] if screen.width >= _NARROW else []
        self._bar = Progress(
            TextColumn("{task.description}"),
            *bar,
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._shown_at = time.monotonic()

    def __call__(self, event: Event, state: State) -> None:
        """Shows what is new."""
        {"start": self._start, "step": self._step, "epoch": self._epoch}.get(event.value, self._end)(state)

    def _start(self, state: State) -> None:
        steps = state.settings.values.epochs * state.steps_per_epoch
        if state.step:
            self._screen.print(f"continuing after epoch {state.epoch}, batch {state.batch} of {state.steps_per_epoch}")
        self._bar.start()
        self._task = self._bar.add_task("epoch", total=steps, completed=state.step, status="")

    def _step(self, state: State) -> None:
        wait = _LOOK_EVERY if self._screen.is_terminal else _LINE_EVERY
        if time.monotonic() - self._shown_at < wait:
            return
        self._shown_at = time.monotonic()
        where = f"epoch {state.epoch + 1}/{state.settings.values.epochs}"
        totals, width = state.totals, self._screen.width - _BAR_WIDTH
        status = _status(totals.mean_loss, totals.accuracy, totals.seen, totals.seconds, width)
        self._bar.update(self._task, completed=state.step, description=where, status=status)
        if not self._screen.is_terminal:
            self._screen.print(f"{where}  step {state.batch}/{state.steps_per_epoch}  {status}")

    def _epoch(self, state: State) -> None:
        row = state.history[-1]
        epochs = state.settings.values.epochs
        validation = f"validation {percent(row['validation_accuracy'])}" if "validation_accuracy" in row else ""
        left = sum(past["seconds"] for past in state.history) / len(state.history) * (epochs - state.epoch)
        parts = [
            (1, f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"),
            (3, f"loss {row['train_loss']:.4f}"),
            (5, f"accuracy {percent(row['train_accuracy'])}"),
            (2, validation),
            (6, f"lr {row['lr']:.3g}"),
            (7, f"{row['seconds']:.1f} s"),
            (4, f"left {clock(left)}"),
        ]
        self._screen.print(fit_line(parts, self._screen.width))
        self._bar.update(self._task, completed=state.step)

    def _end(self, state: State) -> None:
        self._bar.stop()


def _status(loss: float, accuracy: float, seen: int, seconds: float, width: int) -> str:
    speed = f"{seen / seconds:.0f}" if seconds else "..."  # of the first step nothing is known yet
    return fit_line([(1, f"loss {loss:.3f}"), (2, f"accuracy {percent(accuracy)}"), (3, f"{speed} images/s")], width)


def clock(seconds: float) -> str:
    """Formats seconds as a clock does: ``3725`` -> ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ShareBar:
    """A bar on a terminal with a description and the fraction done, shown as long as the context lasts.

    Args:
        screen: Where to show it.
        columns: Columns of the bar, from left to right.
    """

    def __init__(self, screen: Console, *columns: ProgressColumn) -> None:
        self._screen = screen
        self._bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> Self:
        """Starts the bar."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it, also when something went wrong."""
        self._bar.stop()

    def show(self, description: str, share: float) -> None:
        """Updates the bar."""
        self._bar.update(self._task, completed=share, description=description)


class ShareProgress(ShareBar):
    """Shows the current step and the fraction done: a bar on a terminal, an occasional line elsewhere.

    Args:
        screen: Where to show it.
    """

    def __init__(self, screen: Console) -> None:
        text = TextColumn("{task.description}")
        super().__init__(screen, BarColumn(bar_width=20), TaskProgressColumn(), TimeRemainingColumn(), text)
        self._said_at = time.monotonic()

    def __call__(self, what: str, share: float) -> None:
        """Shows what is new."""
        self.show(what, share)
        if not self._screen.is_terminal and time.monotonic() - self._said_at > _SAID_EVERY:
            self._said_at = time.monotonic()
            self._screen.print(f"{100 * share:3.0f}%  {what}")


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether Ctrl-C, SIGTERM, SIGHUP or SIGUSR1 arrived; a second Ctrl-C stops at once.

    Under torchrun it does not: there one Ctrl-C arrives twice, from the terminal and from torchrun.
    """
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> Any:
        if seen and number == signal.SIGINT and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise KeyboardInterrupt
        seen.append(number)

    wanted = (signal.SIGINT, *STOPPING)  # SLURM sends SIGUSR1 before it ends a job
    numbers = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup asks for
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield lambda: bool(seen)
    finally:
        # A launcher sends SIGTERM to all others when one has ended; a stopped process is about to end, too.
        is_one_of_many = os.environ.get("WORLD_SIZE", "1") != "1"
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if seen and is_one_of_many else handler)
