"""Draws the figures of the pages on topologies: what each does to the masks of a small network on handwritten digits.

    python docs/plots/topologies.py [--out docs/topologies] [NAME ...]

Every topology trains the same two-layer perceptron (64-300-10, ERK, final density 0.1, AdamW) for 600 steps, with an
update every 20. Drawn over the steps: the fraction of weights that were ever kept; how much of the mask of the update
before and of the first mask is still kept; and the fraction kept, in the network and in each layer.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import rarefy
from rarefy import data
from rarefy.topology import TOPOLOGIES, compute_exploration_rate, compute_overlap

STEPS, INTERVAL, BATCH, DENSITY = 600, 20, 64, 0.1
INK, BLUE, ORANGE = "#444444", "#1f6fb4", "#d9731a"
STYLE = {"font.size": 8, "svg.hashsalt": "rarefy", "svg.fonttype": "none", "axes.spines.top": False}
OPTIONS = {"dynamic": {"drop": "taylor", "grow": "momentum"}}
WITHOUT_INTERVAL = ("acdc", "sparse_to_dense", "static")


@dataclasses.dataclass
class Curves:
    """Measurements after each update (or where one would be); all are fractions in [0, 1]."""

    steps: list[int] = dataclasses.field(default_factory=list)
    explored: list[float] = dataclasses.field(default_factory=list)
    since_last: list[float] = dataclasses.field(default_factory=list)
    since_start: list[float] = dataclasses.field(default_factory=list)
    kept: list[float] = dataclasses.field(default_factory=list)
    layers: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    accuracy: float = 0.0


def copy_masks(sparsity: rarefy.Sparsity) -> dict[str, Tensor]:
    """Copies the masks as they are now."""
    return {name: mask.clone() for name, mask in sparsity.masks.items()}


def add_point(
    curves: Curves, sparsity: rarefy.Sparsity, step: int, first: dict[str, Tensor], last: dict[str, Tensor]
) -> None:
    """Adds a point to every curve."""
    curves.steps.append(step)
    curves.explored.append(compute_exploration_rate(sparsity.explored()))
    curves.since_last.append(compute_overlap(last, sparsity.masks).retained)
    curves.since_start.append(compute_overlap(first, sparsity.masks).retained)
    curves.kept.append(sparsity.density)
    for layer in sparsity.layers():
        curves.layers.setdefault(layer.name, []).append(layer.density)


def train(name: str) -> Curves:
    """Trains with a topology and records its masks."""
    torch.manual_seed(0)
    splits = data.load(data.DATASETS.build("digits"), Path(), torch.Generator())
    images = splits.spec.normalize(splits.train.images.float() / 255).flatten(1)
    model = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10))
    options = OPTIONS.get(name, {})
    topology = TOPOLOGIES.build(name, **({} if name in WITHOUT_INTERVAL else {"interval": INTERVAL}), **options)
    sparsity = rarefy.sparsify(model, density=DENSITY, topology=topology)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    sparsity.attach(optimizer, steps=STEPS)
    curves, first, last = Curves(), copy_masks(sparsity), copy_masks(sparsity)
    add_point(curves, sparsity, 0, first, last)
    for step in range(1, STEPS + 1):
        chosen = torch.randint(len(images), (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), splits.train.labels[chosen]).backward()
        optimizer.step()
        if step % INTERVAL == 0:
            add_point(curves, sparsity, step, first, last)
            last = copy_masks(sparsity)
    curves.accuracy = compute_accuracy(model, splits)
    return curves


@torch.no_grad()
def compute_accuracy(model: nn.Module, splits: data.Splits) -> float:
    """Computes accuracy on the validation images."""
    images = splits.spec.normalize(splits.validation.images.float() / 255).flatten(1)
    return float((model(images).argmax(1) == splits.validation.labels).float().mean())


def draw(name: str, curves: Curves) -> Figure:
    """Draws three panels over the steps."""
    figure = Figure(figsize=(8.4, 2.6), layout="constrained")
    explored, overlaps, kept = figure.subplots(1, 3, sharex=True)
    explored.plot(curves.steps, curves.explored, color=BLUE)
    explored.set_title("ever kept (exploration rate)")
    overlaps.plot(curves.steps[1:], curves.since_last[1:], color=BLUE, label="one update ago")
    overlaps.plot(curves.steps, curves.since_start, color=ORANGE, linestyle="--", label="at the start")
    overlaps.set_title("still kept, of those kept ...")
    kept.plot(curves.steps, curves.kept, color=INK, linewidth=2, label="network")
    for color, (layer, values) in zip((BLUE, ORANGE), curves.layers.items(), strict=True):
        kept.plot(curves.steps, values, color=color, linestyle="--", label=layer)
    kept.set_title("kept")
    for panel in (explored, overlaps, kept):
        panel.set_ylim(0, 1.03)
        panel.set_xlim(0, STEPS)
        panel.set_xlabel("step")
        panel.spines["right"].set_visible(False)
        panel.grid(alpha=0.25)
    for panel in (overlaps, kept):
        panel.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.24), columnspacing=1.2)
    return figure


def main() -> None:
    """Draws all topologies, or the named ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of {', '.join(TOPOLOGIES.names())}; default all"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "topologies")
    options = parser.parse_args()
    for name in options.names or TOPOLOGIES.names():
        curves = train(name)
        with matplotlib.rc_context(STYLE):
            draw(name, curves).savefig(options.out / f"{name}.svg", metadata={"Date": None})
        print(
            f"{name:10} explored {curves.explored[-1]:.3f}  of the first mask {curves.since_start[-1]:.3f}  "
            f"kept {curves.kept[-1]:.3f}  validation accuracy {curves.accuracy:.3f}"
        )


if __name__ == "__main__":
    main()
