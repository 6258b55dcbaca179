"""What a terminal shows while torch is imported."""

from __future__ import annotations

import io
import sys
import types

import pytest
from rich.console import Console

from rarefy.cli import _loading


@pytest.fixture
def import_log(monkeypatch):
    """Names of the modules that are imported, with what the screen showed by then."""
    seen: list[tuple[str, str]] = []
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(_loading, "console", lambda error: screen)
    importer = types.SimpleNamespace(import_module=lambda name: seen.append((name, screen.file.getvalue())))
    monkeypatch.setattr(_loading, "importlib", importer)
    return seen


def test_a_terminal_says_it_before_the_import_begins(import_log, monkeypatch):
    monkeypatch.delitem(sys.modules, "rarefy.pipeline", raising=False)
    _loading.import_torch()
    ((name, shown),) = import_log
    assert name == "rarefy.pipeline"
    assert "loading torch" in shown


def test_nothing_is_said_if_it_is_imported_already(import_log, monkeypatch):
    monkeypatch.setitem(sys.modules, "rarefy.pipeline", sys)
    _loading.import_torch()
    assert import_log == [("rarefy.pipeline", "")]
