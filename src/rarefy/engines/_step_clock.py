"""Divides the time of a training step among layers and kinds of work, without a gap."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

PYTHON = "Python and autograd"


@dataclasses.dataclass
class StepPart:
    """What a layer spends on one kind of work in a training step.

    Args:
        layer: Name of the module; empty for what belongs to none.
        kind: Kind of work.
        seconds: Time.
        flops: Operations on kept weights: two per multiplication and addition.
        nbytes: Bytes of all arrays that its kernels read or write, once per call.
    """

    layer: str
    kind: str
    seconds: float = 0.0
    flops: float = 0.0
    nbytes: int = 0


class StepClock:
    """Gives all the time between `start` and `stop` to parts: that of nested work to the inner one only.

    Args:
        clock: Returns the seconds since some moment.

    Example:
        >>> ticks = iter([0.0, 1.0, 3.0, 4.0])
        >>> clock = StepClock(lambda: next(ticks))
        >>> clock.start()
        >>> clock.enter("fc1")
        >>> clock.leave("forward")
        >>> clock.stop()
        >>> [(part.layer, part.kind, part.seconds) for part in clock.parts.values()]
        [('fc1', 'forward', 2.0), ('', 'Python and autograd', 2.0)]
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.parts: dict[tuple[str, str], StepPart] = {}
        self._clock = clock
        self._open: list[tuple[str, float]] = []  # layer and own seconds of what runs, outermost first
        self._last = 0.0

    @property
    def layer(self) -> str:
        """Name of the layer that works now."""
        return self._open[-1][0] if self._open else ""

    def start(self) -> None:
        """Starts the clock."""
        self._last = self._clock()
        self._open = [("", 0.0)]

    def stop(self) -> None:
        """Stops the clock. What was not named is of the kind `PYTHON`."""
        while self._open:
            self.leave(PYTHON)

    def enter(self, layer: str) -> None:
        """Starts the work of a layer inside of the work that runs."""
        self._add_time()
        self._open.append((layer, 0.0))

    def leave(self, kind: str, flops: float = 0.0, nbytes: int = 0) -> None:
        """Ends the innermost work, which was of this kind."""
        self._add_time()
        layer, seconds = self._open.pop()
        self.add(layer, kind, seconds, flops, nbytes)

    def add(self, layer: str, kind: str, seconds: float, flops: float = 0.0, nbytes: int = 0) -> None:
        """Adds to a part."""
        part = self.parts.setdefault((layer, kind), StepPart(layer, kind))
        part.seconds, part.flops, part.nbytes = part.seconds + seconds, part.flops + flops, part.nbytes + nbytes

    def move(self, layer: str, kind: str, target: str, seconds: float, nbytes: int) -> None:
        """Moves time of a layer, at most all, and bytes from one kind to another."""
        seconds = min(seconds, self.parts[layer, kind].seconds)
        self.add(layer, kind, -seconds, 0.0, -nbytes)
        self.add(layer, target, seconds, 0.0, nbytes)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Stops the clock for work that does not belong to the step."""
        self._add_time()
        try:
            yield
        finally:
            self._last = self._clock()

    def _add_time(self) -> None:
        now = self._clock()
        if self._open:
            layer, seconds = self._open[-1]
            self._open[-1] = layer, seconds + now - self._last
        self._last = now
