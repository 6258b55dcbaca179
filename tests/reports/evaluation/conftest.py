"""Records such as `rarefy eval` leaves: two dense runs and two sparse ones, and a page of them."""

from __future__ import annotations

import copy
import csv
import html
import html.parser
import json
import math
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rarefy.reports import EvaluatedRun, render_evaluation

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCES = ("cifar100", "svhn", "tiny_imagenet", "uniform_noise")
SCORES = ("energy", "entropy", "knn", "mahalanobis", "max_logit", "max_softmax", "odin")
CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
LAYERS = (
    "conv1.weight",
    *(f"layer{s}.{b}.conv{c}.weight" for s in (1, 2, 3) for b in (0, 1, 2) for c in (1, 2)),
    "fc.weight",
)
FPR = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *(step / 20 for step in range(2, 21))]


def around(value: float, count: int) -> list[float]:
    half = 1.96 * math.sqrt(value * (1 - value) / count)
    return [value - half, value + half]


def side(draw: random.Random, ece: float) -> dict[str, Any]:
    images = [0] * 3 + [int(40 * 1.45**at) for at in range(12)]
    confidence = [None if not count else (at + 0.5) / 15 for at, count in enumerate(images)]
    accuracy = [None if sure is None else min(1.0, sure * (1 - 2 * ece) + draw.uniform(0, 0.02)) for sure in confidence]
    return {
        "ece": ece,
        "ece_mass": ece * 1.02,
        "classwise_ece": ece / 5,
        "loss": 0.6 + 2 * ece,
        "brier": 0.25 + ece / 2,
        "reliability": {"images": images, "confidence": confidence, "accuracy": accuracy},
    }


def detection(draw: random.Random, auroc: float) -> dict[str, Any]:
    power = auroc / (1 - auroc)
    roc = [1 - (1 - fpr) ** power for fpr in FPR]
    return {"auroc": auroc, "aupr_in": auroc - 0.03, "aupr_out": auroc - 0.08, "fpr95": 1.4 - auroc, "roc": roc}


def attacked(clean: float, robust: float, **options: object) -> dict[str, Any]:
    return {
        "attack": str(options.pop("attack")),
        "options": options,
        "clean": clean,
        "clean_interval": around(clean, 1000),
        "robust": robust,
        "robust_interval": around(robust, 1000),
        "images": 1000,
    }


def metrics(seed: int, density: float) -> dict[str, Any]:
    draw = random.Random(f"{seed} {density}")
    top = 0.79 + 0.03 * density + draw.uniform(-0.008, 0.008)
    rows = []
    for true in range(10):
        right = int(1000 * (top + 0.09 * math.sin(2 + true)))
        row = [draw.randint(1, 6) for _ in range(10)]
        row[true] = right
        row[(true + 2) % 10] += 1000 - sum(row)
        rows.append(row)
    hits = [rows[at][at] / 1000 for at in range(10)]
    weights = {name: 4_000_000 if 0 < at < 19 else 900_000 for at, name in enumerate(LAYERS)}
    return {
        "accuracy": top,
        "loss": 1 - top + 0.4,
        "images": 10000,
        "accuracy_interval": around(top, 10000),
        "top5": 0.985,
        "class_names": list(CLASSES),
        "per_class": {"images": [1000] * 10, "accuracy": hits, "interval": [around(hit, 1000) for hit in hits]},
        "confusion": rows,
        "calibration": {"temperature": 1.6, "before": side(draw, 0.06 + density / 30), "after": side(draw, 0.012)},
        "ood": {
            source: {
                "images": 1083 if source == "svhn" else 10000,
                "inside": 10000,
                "roc_fpr": FPR,
                "scores": {score: detection(draw, 0.78 + 0.03 * at + draw.uniform(0, 0.05)) for score in SCORES},
            }
            for at, source in enumerate(SOURCES)
        },
        "attacks": {
            "fgsm": attacked(top, 0.12 + 0.03 * (1 - density), attack="fgsm", eps=8 / 255),
            "pgd": attacked(top, 0.011, attack="pgd", eps=8 / 255, step=2 / 255, steps=20, restarts=1),
            "pgd:steps=50": attacked(top, 0.004, attack="pgd", eps=8 / 255, step=2 / 255, steps=50, restarts=1),
        },
        "robust_curve": {
            kind: {
                "eps": [step / 2 / 255 for step in range(17)],
                "robust": [top * math.exp(-step * rate) for step in range(17)],
                "images": 200,
            }
            for kind, rate in (("fgsm", 0.15), ("pgd", 0.4))
        },
        "corruptions": {
            "source": "regenerated",
            "images": 1000,
            "severities": [1, 2, 3, 4, 5],
            "errors": {
                name: [min(0.9, 1 - top + draw.uniform(0.01, 0.12) * level * (1 + at % 3) / 2) for level in range(1, 6)]
                for at, name in enumerate(CORRUPTIONS)
            },
            "mean_error": 0.36 - 0.02 * density,
        },
        "cost": {
            "parameters": {"all": 272474, "prunable": 270896, "kept": round(270896 * density)},
            "flops": {
                "dense": sum(weights.values()),
                "kept": round(sum(weights.values()) * density),
                "layers": {name: {"dense": count, "kept": round(count * density)} for name, count in weights.items()},
            },
            "training_flops": {"dense": 3 * sum(weights.values()), "kept": round(3 * sum(weights.values()) * density)},
            "bytes": {"model": 1_100_000 if density == 1 else 131_072, "dense": 1_100_000},
            "latency": {"1": {"seconds": 0.00321, "engine": "masked"}, "128": {"seconds": 0.0911, "engine": "masked"}},
            "peak_memory_bytes": {"1": 655_360, "128": 83_886_080},
            "threads": 2,
        },
        "flow": {
            "gradient_norm": {
                "initial": {"total": 2.5, "layers": {n: 2.5 / (1 + at) + draw.random() for at, n in enumerate(LAYERS)}},
                "final": {"total": 0.4, "layers": {n: 0.4 / (1 + at) + draw.random() for at, n in enumerate(LAYERS)}},
            },
            "effective_density": {
                "total": 270896, "kept": round(270896 * density), "effective": round(270890 * density),
                "density": density, "effective_density": 0.9998 * density, "layers": {},
            },
            "dead_units": {"units": 688, "dead": 3, "fraction": 3 / 688, "layers": [0.0] * 19},
        },
        "evaluated": {
            "ood": {"seconds": 61.5, "options": {"limit": None, "seed": 0}},
            "attacks": {"seconds": 120.25, "options": {"eps": 8 / 255, "limit": 1000}},
        },
    }  # fmt: skip


def record(seed: int = 17, density: float = 1.0) -> dict[str, Any]:
    """A run's record as JSON."""
    return {
        "id": f"{'dead' if density < 1 else 'beef'}0000{seed:04d}",
        "config": {
            "data": {"name": "cifar10"},
            "model": {"name": "cifar_resnet_20_16"},
            "allocation": {"name": "dense" if density == 1 else "erk"},
            "topology": {"name": "static"},
            "seed": seed,
            "training": {"epochs": 10},
        },
        "versions": {"rarefy": "0.1.0", "torch": "2.13.0"},
        "environment": {"machine": "x86_64", "threads": 2},
        "density": density,
        "params": {"total": 270896, "kept": round(270896 * density), "all": 272474},
        "history": [
            {"epoch": epoch, "gradient_norm_kept": (2 - density) * 3 / epoch + 0.02 * (seed % 3)}
            for epoch in range(1, 11)
        ],
        "metrics": {"test": metrics(seed, density)},
    }


def png(path: Path, tint: int) -> None:
    """A strip of eight 32 x 32 squares."""
    line = b"".join(
        bytes((tint, 28 * (x // 34), 255 - 25 * (x // 34))) if x % 34 < 32 else b"\xff\xff\xff" for x in range(272)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 272, 32, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress((b"\0" + line) * 32)), chunk(b"IEND", b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


class Page(html.parser.HTMLParser):
    """A page as a test reads it: texts, tables as rows of cells by caption, links, pictures and drawings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.raw, self.texts, self.tags = text, [], []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self.plots: list[dict[str, Any]] = []
        self._caption, self._row = "", []
        self._spans: dict[int, tuple[str, int]] = {}
        self.feed(text)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag not in ("meta", "img", "br", "input"):
            self._open.append(tag)
        if tag == "table":
            self._caption, self._rows, self._spans = "", [], {}
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            for at, (text, left) in list(self._spans.items()):
                if at == len(self._row) and left:
                    self._row.append(text)
                    self._spans[at] = (text, left - 1)
            self._row.append("")
            self._span = int(values.get("rowspan") or 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes nothing"
        if tag == "th" and self._span > 1:
            self._spans[len(self._row) - 1] = (self._row[-1], self._span - 1)
        elif tag == "tr":
            self._rows.append([cell.strip() for cell in self._row])
        elif tag == "table":
            self.tables[self._caption.strip()] = self._rows

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            if self.tags[-1][1].get("type") == "application/json":
                self.plots.append(json.loads(data))
            return
        self.texts.append(data)
        if "caption" in self._open and "a" not in self._open:
            self._caption += data
        if {"td", "th"} & set(self._open) and self._row:
            self._row[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def tips(self) -> list[str]:
        """What is said when points are pointed at."""
        traces = self.traces()
        return [html.unescape(tip) for trace in traces for tip in trace.get("hovertext") or trace.get("text") or ()]

    def traces(self, part: str = "") -> list[dict[str, Any]]:
        """Traces of all figures, or those of a part."""
        return [trace for plot in self.plots for trace in plot["data"] if part in ("", trace["meta"]["part"])]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [values for name, values in self.tags if name == tag]

    def table(self, start: str) -> list[list[str]]:
        found = [
            rows
            for caption, rows in self.tables.items()
            if caption.startswith(start) and not caption.endswith(": numbers")
        ]
        assert len(found) == 1, f"{len(found)} tables begin with {start!r} of {list(self.tables)}"
        return found[0]


@pytest.fixture
def make() -> Callable[..., dict[str, Any]]:
    return lambda seed=17, density=1.0: copy.deepcopy(record(seed, density))


@pytest.fixture
def runs(tmp_path: Path, make: Callable[..., dict[str, Any]]) -> list[EvaluatedRun]:
    """Dense and sparse with two seeds each; the first has pictures."""
    kinds = [("dense", 1.0), ("erk 0.1", 0.1)]
    made = [(name, make(seed, density)) for name, density in kinds for seed in (17, 18)]
    found = [EvaluatedRun(values, tmp_path / "runs" / values["id"], name) for name, values in made]
    for source in SOURCES:
        png(found[0].folder / "examples" / f"{source}_detected.png", 40)
        png(found[0].folder / "examples" / f"{source}_missed.png", 220)
    return found


@pytest.fixture
def show(tmp_path: Path, quick_pages: None) -> Callable[[list[EvaluatedRun]], Page]:
    """Renders runs and reads the page."""

    def rendered(runs: list[EvaluatedRun]) -> Page:
        render_evaluation(runs, tmp_path / "out" / "evaluation.html", can_zoom=True)
        return Page((tmp_path / "out" / "evaluation.html").read_text("utf-8"))

    return rendered


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[[str], list[dict[str, str]]]:
    """Rows of a CSV file of the page that `show` wrote."""

    def read(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader((tmp_path / "out" / "evaluation" / f"{name}.csv").read_text("utf-8").splitlines()))

    return read
