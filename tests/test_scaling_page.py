"""The page on scaling: its figures are those of its numbers, and its numbers those of the table beside it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

PLOTS = Path(__file__).parents[1] / "docs" / "plots"
PAGE = (PLOTS.parent / "scaling.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(PLOTS / "scaling_transfer.py"))


def read_words_and_points(file: Path) -> list[object]:
    """Reads the words of a drawing, and how many numbers each line has; where they lie is up to the layout."""
    text = file.read_text(encoding="utf-8")
    counts = [len(re.findall(r"[\d.]+", path)) for path in re.findall(r' d="([^"]+)"', text)]
    return [*re.findall(r">([^<>]+)</text>", text), *counts]


def test_figures_are_those_of_the_numbers(tmp_path: Path) -> None:
    SCRIPT["main"](tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == sorted(path.name for path in PLOTS.glob("scaling_transfer_*.svg"))
    for name in drawn:
        assert f"plots/{name}" in PAGE
        shown = [read_words_and_points(folder / name) for folder in (tmp_path, PLOTS)]
        assert len(shown[0]) > 10
        assert shown[0] == shown[1], "run python docs/plots/scaling_transfer.py"


def test_the_mlp_s_best_rates_are_those_of_the_table() -> None:
    losses = SCRIPT["read_losses"](PLOTS / "scaling_transfer.csv")["mlp_256_256"]
    best = {key: min(rates, key=lambda rate: rates[rate][0]) for key, rates in losses.items()}
    assert best == {
        ("dense", 1.0): 1 / 64, ("none", 1 / 8): 1 / 16, ("none", 1 / 64): 1 / 4, ("supar", 1 / 8): 1 / 64,
        ("supar", 1 / 64): 1 / 128,
    }  # fmt: skip
    for (scaling, density), rate in best.items():
        for shown in (losses[scaling, density][rate][0], losses[scaling, density].get(1 / 64, [0])[0]):
            assert f"{shown:.3f}" in PAGE or not shown
