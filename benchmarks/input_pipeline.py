"""Images per second of the input pipeline: ours against a torchvision DataLoader of PIL transforms.

    python benchmarks/input_pipeline.py [--data-dir DIR] [--images 10000] [--rounds 5]

Both give shuffled batches of 128 normalised float images after a reflect pad of 4, a random crop and a random flip, on
the same cores: ours with T threads, theirs with T worker processes. With one core theirs runs in the training process
itself. Rounds alternate between the two; the ratio is that of the medians. Without ``--data-dir`` the images are made
up. Measure on an idle machine: threads that wait for a busy core make the first line mean little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms  # type: ignore[import-untyped, unused-ignore]

from rarefy.data import DATASETS, Augment, Batches, Spec, Split, load
from rarefy.rng import Streams

TARGET = 15
BATCH = 128
AUGMENT = Augment(pad=4, mode="reflect", flip=True)


class Pictures(Dataset[tuple[Tensor, int]]):
    """A split, image by image, as torchvision's CIFAR10 gives it: a PIL image through a transform."""

    def __init__(self, split: Split, spec: Spec) -> None:
        """Keeps the pixels as [N, H, W, C], as PIL wants them."""
        self._pixels = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._labels = split.labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=AUGMENT.pad, padding_mode=AUGMENT.mode),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(spec.mean, spec.std),
            ]
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One augmented, normalised image [C, H, W] and its label."""
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


def images_per_second(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Speed of one pass."""
    start = time.perf_counter()
    count = sum(len(images) for images, _ in batches)
    return count / (time.perf_counter() - start)


def compare(split: Split, spec: Spec, *, threads: int, workers: int, rounds: int) -> float:
    """Prints both medians; returns their ratio."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(17)
    theirs = DataLoader(
        Pictures(split, spec),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=generator,
    )
    ours = Batches(split, spec, BATCH, streams=Streams(17), augment=AUGMENT)
    images_per_second(theirs)  # starts the workers; not counted
    images_per_second(ours.epoch(0))
    speeds = [(images_per_second(theirs), images_per_second(ours.epoch(epoch))) for epoch in range(1, rounds + 1)]
    their_median, our_median = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio: float = our_median / their_median
    print(
        f"{threads} thread(s) | torchvision, num_workers={workers}: {their_median:8,.0f} images/s | "
        f"rarefy: {our_median:8,.0f} images/s | ratio {ratio:.1f}x"
    )
    return ratio


def main() -> None:
    """Parses the command line and compares on two cores, then on one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder that holds cifar-10-batches-py")
    parser.add_argument("--images", type=int, default=10_000, help="images a pass")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each pipeline")
    options = parser.parse_args()
    made_up = DATASETS.build("synthetic", train=options.images)
    dataset = made_up if options.data_dir is None else DATASETS.build("cifar10")
    splits = load(dataset, options.data_dir or Path(), torch.Generator().manual_seed(17))
    split = Split(splits.train.images[: options.images], splits.train.labels[: options.images])
    print(f"{len(split):,} images of {splits.spec.name}, batch {BATCH}, median of {options.rounds} alternating passes")
    ratio = compare(split, splits.spec, threads=2, workers=2, rounds=options.rounds)
    compare(split, splits.spec, threads=1, workers=0, rounds=options.rounds)
    print(f"target: at least {TARGET}x on two cores: {'reached' if ratio >= TARGET else 'not reached'} ({ratio:.1f}x)")


if __name__ == "__main__":
    main()
