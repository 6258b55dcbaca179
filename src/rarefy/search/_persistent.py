"""An executor whose pool stays open across the many small sweeps of a search."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

from rarefy.sweeps import Executor, Pool


class PersistentExecutor:
    """Executor wrapper that opens its pool on first use and closes it at the end of the context.

    Args:
        executor: The wrapped executor.
        count: SearchRuns that are usually missing at a time.
    """

    def __init__(self, executor: Executor, count: int) -> None:
        self._executor, self._count = executor, count
        self._pool: Pool | None = None
        self._stack = contextlib.ExitStack()

    @property
    def is_remote(self) -> bool:
        """Whether runs may use other machines."""
        return self._executor.is_remote

    def __enter__(self) -> PersistentExecutor:
        """Returns the executor; the pool is opened on first use."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the pool if it was opened."""
        self._stack.close()

    def __call__(self, count: int, *, accelerated: bool = False) -> AbstractContextManager[Pool]:
        """Returns the open pool; leaving the context does not close it."""
        if self._pool is None:
            self._pool = self._stack.enter_context(self._executor(self._count, accelerated=accelerated))
        return contextlib.nullcontext(self._pool)
