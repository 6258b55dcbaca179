"""Measures training on a GPU: epochs per second against a plain PyTorch loop, and the cost of masks in a large network.

    python benchmarks/gpu_training.py [loop] [masks] [--data-dir DIR] [--workers 8] [--rounds 11] [--seconds 2]

loop: cifar_resnet_20, sparse (ERK 0.05), images on the device and torch.compile, against the same network, dense, in a
plain loop with torchvision's transforms in a DataLoader and no compiling; batch 128, fp32, SGD with momentum.
masks: images per second of WideResNet50_2 (ERK_plus 0.2, batch 192 of 224 px, bf16, channels last) with masks against
dense, on one batch that stays on the device. Both are interleaved in one process, in alternating order, and synchronize
with the device only at the end of a turn; ratios are ratios of medians. Target of masks: at most 1.02 times dense.

``--device cpu --tiny`` runs the same code on tiny inputs, to test it. Without a GPU the exit code is 2.
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


def make_rarefy_step(
    stack: contextlib.ExitStack, model: nn.Module, allocation: str, density: float, values: Training, feed: Feed
) -> Callable[[], None]:
    """Starts a rarefy training that ends when `stack` closes, and returns its step."""
    sparsity = sparsify(model, density=density, allocation=allocation, seed=17)
    optimizer, schedule = training.OPTIMIZERS.build("sgd"), training.SCHEDULES.build("constant")
    settings = training.Settings(values, optimizer, schedule)
    context = training.training_context(model, sparsity, settings, seed=17, steps_per_epoch=10**9)
    state, forward = stack.enter_context(context)
    model.train()

    def step() -> None:
        images, labels = next(feed)
        training.train_step(forward, state, images, labels, images=len(images), seed=17)

    return step


def make_plain_step(model: nn.Module, lr: float, feed: Feed, device: torch.device) -> Callable[[], None]:
    """Returns the step of a plain PyTorch loop."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    model.train()

    def step() -> None:
        images, labels = (tensor.to(device, non_blocking=True) for tensor in next(feed))
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def time_steps(steps: dict[str, Callable[[], None]], options: argparse.Namespace) -> dict[str, float]:
    """Measures the median milliseconds per step; a turn is as many steps as the slowest makes in the given time."""

    def several(step: Callable[[], None], count: int) -> Callable[[], None]:
        def act() -> None:
            for _ in range(count):
                step()
            if options.device.type == "cuda":
                torch.cuda.synchronize(options.device)

        return act

    warm = engines.time_interleaved({name: several(step, 5) for name, step in steps.items()}, rounds=1)
    count = max(1, round(1e3 * options.seconds / (max(warm.values()) / 5)))
    times = engines.time_interleaved(
        {name: several(step, count) for name, step in steps.items()}, rounds=options.rounds
    )
    return {name: time / count for name, time in times.items()}


def compare_loops(options: argparse.Namespace) -> None:
    """Prints epochs per second of both loops."""
    directory, batch = options.data_dir, 16 if options.tiny else 128
    generated = data.DATASETS.build("synthetic", train=64 if options.tiny else 45_000, height=32, width=32)
    dataset = generated if directory is None else data.DATASETS.build("cifar10")
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
    with contextlib.ExitStack() as stack:
        steps = {"plain": make_plain_step(nets[1], 1e-3, theirs, options.device)}
        steps["rarefy"] = make_rarefy_step(stack, nets[0], "erk", 0.05, values, feeds)
        times = time_steps(steps, options)
    for variant, time in times.items():
        print(f"{name:18s} {variant:7s} {time:9.2f} ms per step   {1e3 / (time * len(batches)):7.3f} epochs/s")
    print(f"{name:18s} ratio {times['plain'] / times['rarefy']:.2f}x the epochs per second of the plain loop")


def measure_masks(options: argparse.Namespace) -> None:
    """Prints images per second with and without masks."""
    size, batch = (16, 4) if options.tiny else (224, options.batch)
    name = "cifar_resnet_8_4" if options.tiny else "WideResNet50_2"
    generator = torch.Generator().manual_seed(17)
    images = torch.randn(batch, 3, size, size, generator=generator).to(options.device)
    labels = torch.randint(10, (batch,), generator=generator).to(options.device)
    feed = itertools.repeat((images, labels))
    values = Training(batch_size=batch, lr=1e-6, precision="bf16", channels_last=True, deterministic=False)
    steps = {}
    with contextlib.ExitStack() as stack:
        for variant, allocation, density in (("dense", "dense", 1.0), ("masked", "erk_plus", 0.2)):
            net = models.build(models.parse(name), size=(size, size), generator=Streams(17)("init"))
            net.to(options.device, memory_format=torch.channels_last)
            steps[variant] = make_rarefy_step(stack, net, allocation, density, values, feed)
        times = time_steps(steps, options)
    for variant, time in times.items():
        print(f"{name:18s} {variant:7s} {time:9.2f} ms per step   {1e3 * batch / time:9.1f} images/s")
    ratio = times["masked"] / times["dense"]
    print(f"{name:18s} ratio {ratio:.3f}, target at most {TARGET}: {'reached' if ratio <= TARGET else 'not reached'}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="loop, masks; default both")
    parser.add_argument("--data-dir", type=Path, help="folder of cifar-10-batches-py; default: generated images")
    parser.add_argument("--workers", type=int, default=8, help="workers of the plain loop's DataLoader")
    parser.add_argument("--batch", type=int, default=192, help="images per step of the large network")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=2.0, help="approximate length of a turn")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--tiny", action="store_true", help="tiny inputs, to test the code")
    options = parser.parse_args()
    if options.device.type == "cuda" and not torch.cuda.is_available():
        print("There is no GPU, so nothing was measured. --device cpu --tiny runs the code.", file=sys.stderr)
        raise SystemExit(2)
    parts = {"loop": compare_loops, "masks": measure_masks}
    for part in options.parts or parts:
        parts[part](options)


if __name__ == "__main__":
    main()
