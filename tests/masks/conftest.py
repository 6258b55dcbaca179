from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

SPECIFICATION = Path(__file__).parents[2] / "docs" / "masks.md"


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """The pure-Python program of the specification: the oracle."""
    block = re.search(r"```python\n(.*?)```", SPECIFICATION.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    names: dict[str, object] = {}
    exec(block.group(1), names)
    return SimpleNamespace(**names)
