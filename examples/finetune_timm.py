"""Fine-tune a network of timm on a folder of pictures, pruning it gradually.

    python examples/finetune_timm.py photos --model resnet18 --pretrained --density 0.2

`photos` holds one folder per class. Without a folder the example cuts tiles from the two photographs that come with
scikit-learn. `--pretrained` starts from timm's weights, which it downloads; without it the weights are random.

Pretrained weights are worth keeping, so the masks are not drawn at random: gradual magnitude pruning (``gmp``) starts
dense and drops the smallest weights of each layer, down to the density. What is left is saved as a compact file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

import rarefy
from rarefy.data import Batches, load, parse
from rarefy.rng import Streams
from rarefy.topology import TOPOLOGIES

BATCH = 16


def write_tiles(folder: Path, side: int = 80) -> Path:
    """Writes tiles of two photographs, a temple and a flower, into a folder for each."""
    for name, picture in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        for top in range(0, picture.shape[0] - side + 1, side):
            for left in range(0, picture.shape[1] - side + 1, side):
                tile = picture[top : top + side, left : left + side]
                Image.fromarray(tile).save(folder / name / f"{top}_{left}.png")
    return folder


def read_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="one folder of pictures per class")
    parser.add_argument("--model", default="resnet10t", help="a network of timm")
    parser.add_argument("--pretrained", action="store_true", help="start from timm's weights")
    parser.add_argument("--density", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--resolution", type=int, default=32)
    return parser.parse_args()


def train(model: nn.Module, sparsity: rarefy.Sparsity, batches: Batches, epochs: int) -> None:
    """The loop: AdamW with a cosine, as fine-tuning usually has."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    sparsity.attach(optimizer, steps=steps)
    for epoch in range(epochs):
        for images, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}  loss {loss.item():.3f}  density {sparsity.density:.3f}")


@torch.no_grad()
def measure_accuracy(model: nn.Module, batches: Batches) -> float:
    """Measures the fraction of images whose class is predicted."""
    model.eval()
    hits: list[Tensor] = [model(images).argmax(1) == labels for images, labels in batches.epoch(0)]
    return float(torch.cat(hits).float().mean())


def main() -> None:
    """Trains, and prints accuracy and size."""
    arguments, streams = read_arguments(), Streams(17)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or write_tiles(Path(scratch))
        dataset = parse(f"folder:{folder}", resolution=arguments.resolution, valid_split=0.15, test_split=0.15)
        data = load(dataset, Path(), streams("split"), workers=0)
        model = timm.create_model(arguments.model, pretrained=arguments.pretrained, num_classes=data.spec.classes)
        topology = TOPOLOGIES.build("gmp", interval=2)
        sparsity = rarefy.sparsify(model, density=arguments.density, topology=topology, seed=17)
        batches = Batches(data.train, data.spec, BATCH, streams=streams, augment=data.augment, drop_last=True)
        train(model, sparsity, batches, arguments.epochs)
        accuracy = measure_accuracy(model, Batches(data.test, data.spec, BATCH))
    saved = rarefy.save(model, sparsity, "finetuned.safetensors")
    print(f"{len(data.test)} test pictures of {', '.join(data.spec.class_names)}: accuracy {accuracy:.3f}")
    print(f"{sparsity.kept} of {sparsity.total} weights kept; finetuned.safetensors has {saved.file_bytes:,} bytes")


if __name__ == "__main__":
    main()
