"""A record to report, as a JSON object, and a maker of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rarefy.reports.pages import _build_html, _write_page

SVG = (
    b'<?xml version="1.0"?>\n<svg width="4pt" viewBox="0 0 4 4" xmlns="http://www.w3.org/2000/svg"><text>t</text></svg>'
)


def make(*, layers: int = 3, epochs: int = 4, id: str = "3f2a9c1b77de") -> dict[str, Any]:
    """Layers of 10x64 weights that keep 64, 128, 192, 64, ... of them; losses 4, 2, 4/3, 1, ..."""
    kept = [64 * (1 + index % 3) for index in range(layers)]
    return {
        "id": id,
        "config": {"data": {"name": "digits"}, "model": {"name": "mlp_64"}, "density": 0.2, "seed": 17},
        "density": sum(kept) / (640 * layers) if layers else 1.0,
        "params": {"total": 640 * layers, "kept": sum(kept)},
        "layers": [
            {"name": f"{i}.weight", "shape": [10, 64], "kept": k, "density": k / 640} for i, k in enumerate(kept)
        ],
        "history": [
            {
                "epoch": epoch,
                "train_loss": 4 / epoch,
                "train_accuracy": epoch / 10,
                "validation_loss": 5 / epoch,
                "validation_accuracy": epoch / 20,
                "lr": 0.1,
                "seconds": 1.5,
            }
            for epoch in range(1, epochs + 1)
        ],
        "metrics": {"test": {"accuracy": 0.625, "loss": 1.0}},
    }


@pytest.fixture
def record() -> dict[str, Any]:
    return make()


@pytest.fixture
def make_record() -> Callable[..., dict[str, Any]]:
    return make


@pytest.fixture
def quick_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with a stand-in for drawn figures and for Plotly, which are quick."""
    drawn = {"png": b"png", "pdf": b"pdf", "svg": SVG}
    monkeypatch.setattr(_write_page, "draw_files", lambda figure, formats: drawn)
    monkeypatch.setattr(_write_page, "draw_panels", lambda figures, formats: {name: drawn[name] for name in formats})
    monkeypatch.setattr(_build_html, "_compress_plotly", lambda: "plotly")
