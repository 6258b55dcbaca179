"""Every topology with every allocation, trained for some steps with the counts asserted at each update; prints a table.

    python benchmarks/every_pair.py --data digits
    python benchmarks/every_pair.py --data cifar10 --data-dir data --steps 300 --model cifar_resnet_8_8

A cell is the training accuracy over the last 20 steps. Counts are asserted from the weights themselves after every
step: nothing outside the masks is ever nonzero, every layer (every network, where weights are redistributed; the value
of the schedule, where it prunes while it trains) keeps exactly what was promised, and the end is
``round(density * total)``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn

from rarefy import data, models
from rarefy.allocation import ALLOCATIONS, SaliencyRule
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES

PRUNING = ("gmp", "granet")  # counts follow a schedule
REDISTRIBUTING = ("snfs",)  # counts are kept over the network


def main() -> None:
    """Trains every pair and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--model", default="cifar_resnet_8_8")
    parser.add_argument("--density", type=float, default=0.2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--interval", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    splits = data.load(data.DATASETS.build(options.data), options.data_dir, Streams(17)("split"))
    batches = data.Batches(splits.train, splits.spec, options.batch_size, streams=Streams(17), augment=splits.augment)
    rules = [name for name in ALLOCATIONS.names() if name != "dense"]
    topologies = TOPOLOGIES.names()
    print(f"{options.model} on {options.data}, density {options.density}", end=", ")
    print(f"{options.steps} steps, update every {options.interval}")
    print("training accuracy of the last 20 steps, in %; counts asserted after every step\n")
    print(f"{'':14}" + "".join(f"{name:>12}" for name in topologies))
    updates, started = 0, time.perf_counter()
    for rule in rules:
        print(f"{rule:14}", end="", flush=True)
        for topology in topologies:
            accuracy, count = pair(topology, rule, splits, batches, options)
            updates += count
            print(f"{100 * accuracy:12.1f}", end="", flush=True)
        print()
    pairs = len(rules) * len(topologies)
    print(f"\n{pairs} pairs, {updates} updates, every count exact; {time.perf_counter() - started:.0f} s")


def pair(
    topology: str, rule: str, splits: data.Splits, batches: data.Batches, options: argparse.Namespace
) -> tuple[float, int]:
    """Trains one pair; returns the accuracy of the last 20 steps and how many updates moved the masks."""
    spec = splits.spec
    model = models.build(
        models.parse(options.model),
        in_channels=spec.channels,
        classes=spec.classes,
        size=(spec.height, spec.width),
        generator=Streams(17)("init"),
    )
    sparsity = sparsify(
        model,
        density=options.density,
        allocation={"fc": 0.5} if rule == "custom" else rule,
        topology=TOPOLOGIES.build(topology, **({} if topology == "static" else {"interval": options.interval})),
        sample=sample(rule, splits),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    sparsity.attach(optimizer, steps=options.steps)
    right, updates = [], 0
    for step in range(options.steps):
        images, labels = next(batches.epoch(step // len(batches), start=step % len(batches)))
        before = dict(sparsity.masks.items())
        logits = model(images)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        updates += any(sparsity.masks[name] is not mask for name, mask in before.items())
        right.append((logits.argmax(1) == labels).float().mean().item())
        check(sparsity, topology, step)
    wanted = round(options.density * sparsity.total)
    if sparsity.kept != wanted:
        sys.exit(f"{topology} x {rule}: {sparsity.kept} weights kept at the end instead of {wanted}")
    return sum(right[-20:]) / len(right[-20:]), updates


def sample(rule: str, splits: data.Splits) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Class-balanced training images for rules that look at data."""
    built = None if rule == "custom" else ALLOCATIONS.build(rule)
    if not isinstance(built, SaliencyRule):
        return None
    count = built.samples_needed(splits.spec.classes)
    images, labels = data.draw_balanced(splits.train, count, Streams(17)("sample"))
    return splits.spec.normalize(images.float() / 255), labels


def check(sparsity: Sparsity, topology: str, step: int) -> None:
    """Exits with a message if a count is not what was promised."""
    counts = sparsity.masks.counts()
    for name, weight in sparsity.weights().items():
        if weight.detach()[~sparsity.masks[name]].any():
            sys.exit(f"{topology}, step {step}: {name} is not zero outside its mask")
    if topology in PRUNING:
        fits = all(counts[name] >= kept for name, kept in sparsity.final.items())
    elif topology in REDISTRIBUTING:
        fits = sum(counts.values()) == sum(sparsity.final.values()) and min(counts.values()) >= 1
    else:
        fits = counts == sparsity.final
    if not fits:
        sys.exit(f"{topology}, step {step}: keeps {counts}, promised {sparsity.final}")


if __name__ == "__main__":
    main()
