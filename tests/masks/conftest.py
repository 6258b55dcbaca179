from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

SPECIFICATION = Path(__file__).parents[2] / "docs" / "masks.md"


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """The pure-Python programs of the specification: the oracle."""
    blocks = re.findall(r"```python\n(.*?)```", SPECIFICATION.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    return SimpleNamespace(**names)
