"""A plain PyTorch loop on handwritten digits, made sparse by five lines (marked with a number).

    python examples/own_loop.py

A small convolutional network keeps a tenth of its weights. RigL moves the mask every 20 steps.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import rarefy  # 1
from rarefy.topology import TOPOLOGIES, compute_exploration_rate

EPOCHS, BATCH = 8, 64


def main() -> None:
    """Trains, and prints a line an epoch."""
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
    images = (images.float() / 16).reshape(-1, 1, 8, 8)
    train, test = slice(0, 1400), slice(1400, None)

    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    steps = EPOCHS * len(images[train].split(BATCH))

    rigl = TOPOLOGIES.build("rigl", interval=20)  # 2
    sparsity = rarefy.sparsify(model, density=0.1, topology=rigl, seed=17)  # 3
    sparsity.attach(optimizer, steps=steps)  # 4
    print(sparsity)

    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(len(images[train]))
        model.train()
        for chosen in order.split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = float((model(images[test]).argmax(1) == labels[test]).float().mean())
        ever = compute_exploration_rate(sparsity.explored())
        print(f"epoch {epoch:2}  loss {loss.item():.3f}  test accuracy {accuracy:.3f}  weights ever kept {ever:.1%}")

    size = rarefy.save(model, sparsity, "own_loop.safetensors")  # 5
    print(f"{sparsity.kept} of {sparsity.total} weights kept")
    print(f"own_loop.safetensors has {size.file_bytes:,} bytes, {size.ratio:.0%} of dense")


if __name__ == "__main__":
    main()
