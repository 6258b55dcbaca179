"""The threads that watch for failures end before the interpreter does."""

from __future__ import annotations

import datetime
import threading
import time

import pytest
import torch.distributed as dist

from rarefy.distributed import World
from rarefy.distributed._failure_reporter import FailureReporter

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without distributed")


class SlowStore:
    """A store that responds late, as on a busy machine."""

    def __init__(self) -> None:
        self.was_called = threading.Event()

    def check(self, keys: list[str]) -> bool:
        self.was_called.set()
        time.sleep(1.5)
        return False


def test_closing_waits_for_a_listener_that_is_inside_a_call_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in such a call when the interpreter ends makes C++ abort the process, which had succeeded."""
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "0"), ("RANK", "0"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    reporter = FailureReporter(World(), datetime.timedelta(seconds=30))
    reporter.store = store = SlowStore()
    assert store.was_called.wait(10)
    reporter.close()
    assert not reporter._listener.is_alive()
