"""What training on a GPU reaches: epochs a second against a plain PyTorch loop, and what masks cost a large network.

    python benchmarks/gpu_training.py [loop] [masks] [--data-dir DIR] [--workers 8] [--rounds 11] [--seconds 2]

loop: cifar_resnet_20, sparse (ERK 0.05), images on the device and torch.compile, against the same network, dense, in a
plain loop with torchvision's transforms in a DataLoader and no compiling; batch 128, fp32, SGD with momentum.
masks: images a second of WideResNet50_2 (ERK_plus 0.2, batch 192 of 224 px, bf16, channels last) with masks against
dense, on one batch that stays on the device. Both take turns in one process, every other round backwards, and wait for
the device at the ends of a turn only; a ratio is that of medians. Target of masks: at most 1.02 times dense's time.

``--device cpu --tiny`` runs the same code on little, which measures nothing. Without a GPU it ends with code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from input_pipeline import Pictures
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rarefy import data, engines, models, training
from rarefy.config import Training
from rarefy.rng import Streams
from rarefy.sparsity import sparsify

TARGET = 1.02
Feed = Iterator[tuple[Tensor, Tensor]]


def ours(
    place: contextlib.ExitStack, model: nn.Module, allocation: str, density: float, values: Training, feed: Feed
) -> Callable[[], None]:
    """A step of the training loop, which has begun and ends with `place`."""
    sparsity = sparsify(model, density=density, allocation=allocation, seed=17)
    optimizer, schedule = training.OPTIMIZERS.build("sgd"), training.SCHEDULES.build("constant")
    settings = training.Settings(values, optimizer, schedule)
    begun = training.training_context(model, sparsity, settings, seed=17, steps_per_epoch=10**9)
    state, forward = place.enter_context(begun)
    model.train()

    def step() -> None:
        images, labels = next(feed)
        training.train_step(forward, state, images, labels, images=len(images), seed=17)

    return step


def plain(model: nn.Module, lr: float, feed: Feed, device: torch.device) -> Callable[[], None]:
    """A step as one writes it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    model.train()

    def step() -> None:
        images, labels = (tensor.to(device, non_blocking=True) for tensor in next(feed))
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def milliseconds(steps: dict[str, Callable[[], None]], options: argparse.Namespace) -> dict[str, float]:
    """Median time of a step of each; a turn is as many steps as the slowest one makes in the given time."""

    def several(step: Callable[[], None], count: int) -> Callable[[], None]:
        def act() -> None:
            for _ in range(count):
                step()
            if options.device.type == "cuda":
                torch.cuda.synchronize(options.device)

        return act

    warm = engines.time_interleaved({name: several(step, 5) for name, step in steps.items()}, rounds=1)
    count = max(1, round(1e3 * options.seconds / (max(warm.values()) / 5)))
    found = engines.time_interleaved(
        {name: several(step, count) for name, step in steps.items()}, rounds=options.rounds
    )
    return {name: time / count for name, time in found.items()}


def loop(options: argparse.Namespace) -> None:
    """Prints epochs a second of both loops."""
    directory, batch = options.data_dir, 16 if options.tiny else 128
    made_up = data.DATASETS.build("synthetic", train=64 if options.tiny else 45_000, height=32, width=32)
    dataset = made_up if directory is None else data.DATASETS.build("cifar10")
    splits = data.load(dataset, directory or Path(), torch.Generator().manual_seed(17))
    name = "cifar_resnet_8_4" if options.tiny else "cifar_resnet_20"
    nets = [models.build(models.parse(name), generator=Streams(17)("init")).to(options.device) for _ in range(2)]
    augment = data.Augment(pad=4, mode="reflect", flip=True)
    batches = data.Batches(
        splits.train.to(options.device), splits.spec, batch, streams=Streams(17), augment=augment, drop_last=True
    )
    pictures = Pictures(splits.train, splits.spec)
    workers = {"num_workers": options.workers, "persistent_workers": options.workers > 0}
    loader = DataLoader(
        pictures, batch, shuffle=True, drop_last=True, pin_memory=options.device.type == "cuda", **workers
    )
    feeds = (pair for epoch in itertools.count() for pair in batches.epoch(epoch))
    theirs = (pair for _ in itertools.count() for pair in loader)
    values = Training(batch_size=batch, lr=1e-3, compile=not options.tiny, deterministic=False)
    with contextlib.ExitStack() as place:
        steps = {"plain": plain(nets[1], 1e-3, theirs, options.device)}
        steps["rarefy"] = ours(place, nets[0], "erk", 0.05, values, feeds)
        found = milliseconds(steps, options)
    for who, time in found.items():
        print(f"{name:18s} {who:7s} {time:9.2f} ms a step   {1e3 / (time * len(batches)):7.3f} epochs/s")
    print(f"{name:18s} ratio {found['plain'] / found['rarefy']:.2f}x the plain loop's epochs a second")


def masks(options: argparse.Namespace) -> None:
    """Prints images a second with masks and without."""
    size, batch = (16, 4) if options.tiny else (224, options.batch)
    name = "cifar_resnet_8_4" if options.tiny else "WideResNet50_2"
    generator = torch.Generator().manual_seed(17)
    images = torch.randn(batch, 3, size, size, generator=generator).to(options.device)
    labels = torch.randint(10, (batch,), generator=generator).to(options.device)
    feed = itertools.repeat((images, labels))
    values = Training(batch_size=batch, lr=1e-6, precision="bf16", channels_last=True, deterministic=False)
    steps = {}
    with contextlib.ExitStack() as place:
        for who, allocation, density in (("dense", "dense", 1.0), ("masked", "erk_plus", 0.2)):
            net = models.build(models.parse(name), size=(size, size), generator=Streams(17)("init"))
            net.to(options.device, memory_format=torch.channels_last)
            steps[who] = ours(place, net, allocation, density, values, feed)
        found = milliseconds(steps, options)
    for who, time in found.items():
        print(f"{name:18s} {who:7s} {time:9.2f} ms a step   {1e3 * batch / time:9.1f} images/s")
    ratio = found["masked"] / found["dense"]
    print(f"{name:18s} ratio {ratio:.3f}, target at most {TARGET}: {'reached' if ratio <= TARGET else 'not reached'}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="loop, masks; default both")
    parser.add_argument("--data-dir", type=Path, help="folder that holds cifar-10-batches-py; default: images made up")
    parser.add_argument("--workers", type=int, default=8, help="of the plain loop's DataLoader")
    parser.add_argument("--batch", type=int, default=192, help="images a step of the large network")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn, about")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--tiny", action="store_true", help="the same code on little: measures nothing")
    options = parser.parse_args()
    if options.device.type == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured. --device cpu --tiny runs the code.", file=sys.stderr)
        raise SystemExit(2)
    parts = {"loop": loop, "masks": masks}
    for part in options.parts or parts:
        parts[part](options)


if __name__ == "__main__":
    main()
