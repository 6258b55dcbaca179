"""Rate transfer: the held-out loss of an MLP on handwritten digits against the learning rate, by density and scaling.

Run: python benchmarks/rate_transfer.py [--optimizer adam] [--seeds 5] [--steps 150] [--csv losses.csv]

Prints a line for each scaling, density and rate: the mean loss over seeds and its 95% interval; then the best rate of
each scaling and density. With a scaling that transfers it is the dense network's.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import rarefy
from rarefy.models import initialise_weights
from rarefy.statistics import Summary, summarize

TRAIN = 1200
LOWEST = {"adam": -11, "sgd": -9}  # of the rates of the dense network, as powers of two
RATES = 7
# density, scaling, by how many powers of two its rates are higher
SETTINGS = ((1.0, "none", 0), (1 / 4, "supar", 0), (1 / 4, "none", 1), (1 / 16, "supar", 0), (1 / 16, "none", 3))


def load() -> tuple[Tensor, Tensor]:
    """Loads all digits, normalised: ``[1797, 64]``, and their classes."""
    images, labels = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
    images = images.float() / 16
    return (images - images[:TRAIN].mean()) / images[:TRAIN].std(), labels


def train(
    data: tuple[Tensor, Tensor], optimizer: str, density: float, scaling: str, lr: float, seed: int, steps: int
) -> float:
    """Trains a network and returns its loss on the digits that were held out."""
    images, labels = data
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        initialise_weights(model)
    allocation = "dense" if density == 1 else "erk"
    sparsity = rarefy.sparsify(model, density=density, allocation=allocation, scaling=scaling, seed=seed)
    groups = sparsity.param_groups(lr=lr)
    descent = torch.optim.Adam(groups) if optimizer == "adam" else torch.optim.SGD(groups, momentum=0.9)
    sparsity.attach(descent)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(TRAIN, (64,), generator=generator)
        descent.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        descent.step()
        schedule.step()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(images[TRAIN:]), labels[TRAIN:]))


def describe(found: Summary) -> str:
    """Describes a mean with its interval."""
    return f"{found.mean:.3f}" + ("" if found.interval is None else " ({:.3f} to {:.3f})".format(*found.interval))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizer", choices=sorted(LOWEST), default="adam")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    data, rows, best = load(), [], {}
    for density, scaling, shift in SETTINGS:
        lowest = LOWEST[options.optimizer] + shift
        for exponent in range(lowest, lowest + RATES):
            given = (options.optimizer, density, scaling, 2.0**exponent)
            losses = [train(data, *given, seed, options.steps) for seed in range(options.seeds)]
            rows += [(*given, seed, loss) for seed, loss in enumerate(losses)]
            found = summarize(losses)
            print(f"{scaling:5} density {density:<6g} rate 2^{exponent:<3} {describe(found)}", flush=True)
            key = scaling, density
            if key not in best or not best[key][1].mean <= found.mean:
                best[key] = exponent, found
    for (scaling, density), (exponent, found) in best.items():
        print(f"best: {scaling:5} density {density:<6g} rate 2^{exponent:<3} {describe(found)}")
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("optimizer", "density", "scaling", "lr", "seed", "loss"), *rows])


if __name__ == "__main__":
    main()
