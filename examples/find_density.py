"""How sparse can my own model be? The search only needs a function that trains it.

    python examples/find_density.py

A small network on handwritten digits; about 30 trainings, most of them a second long.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn

import rarefy

EPOCHS, BATCH = 20, 100

images, labels = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
images = images.float() / 16
mixed = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = mixed[:1200], mixed[1200:]


def trained(density: float, seed: int, effort: float) -> float:
    """Trains a fresh network for a share of the epochs and returns its test accuracy."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
        if density < 1:
            rarefy.sparsify(model, density=density, seed=seed).attach(optimizer)
        epochs = max(1, round(effort * EPOCHS))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)  # as long as the training
        for _ in range(epochs):
            for chosen in train[torch.randperm(len(train))].split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
                optimizer.step()
            schedule.step()
    with torch.no_grad():
        return float((model(images[test]).argmax(1) == labels[test]).float().mean())


def main() -> None:
    """Searches, and prints what it finds as it goes."""
    found = rarefy.find_density(trained, margin=0.02, notice=print)
    print(found.answer)
    print(f"{len(found.evidence)} trainings; see {found.save('find_density.html')[0]}")


if __name__ == "__main__":
    main()
