"""An executor that stays open: a search is many small sweeps, whose workers start once."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

from rarefy.sweeps import Executor, Pool


class Opened:
    """Opens an executor when it is first needed, and closes it at the end of the context.

    Args:
        executor: The executor.
        count: Runs that are usually missing at a time.
    """

    def __init__(self, executor: Executor, count: int) -> None:
        self._executor, self._count = executor, count
        self._pool: Pool | None = None
        self._stack = contextlib.ExitStack()

    @property
    def is_remote(self) -> bool:
        """Whether runs may compute on other machines."""
        return self._executor.is_remote

    def __enter__(self) -> Opened:
        """Opens nothing yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes it, if it was opened."""
        self._stack.close()

    def __call__(self, count: int, *, accelerated: bool = False) -> AbstractContextManager[Pool]:
        """The open pool, which is left open."""
        if self._pool is None:
            self._pool = self._stack.enter_context(self._executor(self._count, accelerated=accelerated))
        return contextlib.nullcontext(self._pool)
