"""An exponential moving average of a sparse model whose mask moves.

    python examples/ema.py

The average of a weight that was kept for a while and then pruned fades slowly and is never 0. Before the averaged model
is used, ``sparsity.mask_weights_(ema.module)`` gives it the mask of the trained one.

A kept weight can be 0 too: here those of pixels that no digit has ink on, once the mask has moved to them.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import rarefy
from rarefy.topology import TOPOLOGIES

STEPS, BATCH = 300, 64


def nonzero(model: nn.Module) -> int:
    """How many prunable weights of a model are not 0."""
    return sum(int(weight.count_nonzero()) for weight in rarefy.prunable(model).values())


def main() -> None:
    """Trains, averages, and prints what the average keeps."""
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
    images = images.float() / 16
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    sparsity = rarefy.sparsify(model, density=0.05, topology=TOPOLOGIES.build("set", interval=25))
    sparsity.attach(optimizer, steps=STEPS)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98))

    for _ in range(STEPS):
        chosen = torch.randint(1400, (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
        ema.update_parameters(model)

    print(f"the trained model keeps   {nonzero(model)} of {sparsity.total} weights")
    print(f"its average, as averaged, {nonzero(ema)}")
    sparsity.mask_weights_(ema.module)
    print(f"and after mask_weights_   {nonzero(ema)}")
    with torch.no_grad():
        for name, trained in (("trained", model), ("average", ema)):
            accuracy = float((trained(images[1400:]).argmax(1) == labels[1400:]).float().mean())
            print(f"test accuracy of the {name} model {accuracy:.3f}")


if __name__ == "__main__":
    main()
