from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rarefy.masks import draw_masks

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


@pytest.fixture(scope="session")
def check_groups(reference: SimpleNamespace) -> Callable[..., None]:
    """``check_groups(name, shape, block, kept)``: asserts that masks are those of the specification."""

    def check(name: str, shape: tuple[int, ...], block: tuple[int, ...], kept: int) -> None:
        for seed in (17, -5):
            mask = draw_masks({"a.weight": kept}, {"a.weight": shape}, seed, pattern=name)["a.weight"]
            assert mask.flatten().tolist() == reference.mask_groups(seed, "a.weight", shape, block, kept)

    return check
