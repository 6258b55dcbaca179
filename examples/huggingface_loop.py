"""The loop of a Hugging Face style trainer around a small transformer, made sparse.

    python examples/huggingface_loop.py

A digit is a sequence of its 8 rows, which a transformer encoder reads. The loop has what such loops have: bf16
autocast, gradient accumulation, clipping, AdamW without decay on biases and norms, warm-up and linear decay. Where
Hugging Face's accelerate is installed, its ``Accelerator`` drives the same loop.

Two things are worth a look. Attention's fused ``in_proj_weight`` is masked as any other weight, embeddings and norms
are not. And ``sparsity.mask_gradients_()`` before clipping makes the norm that of the weights that are trained.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import rarefy
from rarefy.topology import TOPOLOGIES

STEPS, BATCH, ACCUMULATE, WARM_UP = 150, 32, 2, 15


class Classifier(nn.Module):
    """A transformer encoder over 8 rows of 8 pixels, and a linear layer on their mean."""

    def __init__(self, width: int = 48, layers: int = 2) -> None:
        super().__init__()
        self.rows = nn.Linear(8, width)
        self.positions = nn.Embedding(8, width)
        nn.init.normal_(self.positions.weight, std=0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits ``[N, 10]`` of images ``[N, 8, 8]``."""
        hidden = self.encoder(self.rows(pixels) + self.positions.weight)
        return self.classifier(self.norm(hidden).mean(1))


class Plain:
    """What the loop asks of an accelerator, in plain torch."""

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The forward pass in bf16."""
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, added to those that are there."""
        loss.backward()

    def prepare(self, *parts: Any) -> tuple[Any, ...]:
        """The parts as they are."""
        return parts


def accelerator() -> tuple[Any, str]:
    """Hugging Face's, where it is installed; and its name."""
    if importlib.util.find_spec("accelerate") is None:
        return Plain(), "plain torch"
    from accelerate import Accelerator  # type: ignore[import-not-found, unused-ignore]

    return Accelerator(mixed_precision="bf16", cpu=True), "accelerate"


def schedule(step: int) -> float:
    """Factor on the learning rate: up in the warm-up, then down in a line."""
    return (step + 1) / WARM_UP if step < WARM_UP else (STEPS - step) / (STEPS - WARM_UP)


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups with weight decay and without."""
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]


def train(draw: Callable[[], tuple[Tensor, Tensor]]) -> tuple[nn.Module, rarefy.Sparsity]:
    """The loop."""
    model = Classifier()
    driver, name = accelerator()
    optimizer = torch.optim.AdamW(groups(model), lr=0.004)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    sparsity = rarefy.sparsify(model, density=0.2, topology=TOPOLOGIES.build("rigl", interval=25))
    sparsity.attach(optimizer, steps=STEPS)  # the optimizer itself, not what `prepare` wraps it in
    prepared, stepper = driver.prepare(model, optimizer)
    print(f"{sparsity}, driven by {name}")

    for step in range(1, STEPS + 1):
        stepper.zero_grad()
        for _ in range(ACCUMULATE):
            pixels, labels = draw()
            with driver.autocast():
                loss = nn.functional.cross_entropy(prepared(pixels), labels)
            driver.backward(loss / ACCUMULATE)
        sparsity.mask_gradients_()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        stepper.step()
        scheduler.step()
        if step % 30 == 0:
            print(f"step {step:3}  loss {loss.item():.3f}  gradient norm of kept weights {norm.item():.2f}")
    return model, sparsity


def main() -> None:
    """Trains, and prints accuracy and what is kept."""
    torch.manual_seed(0)
    pixels, labels = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
    pixels = (pixels.float() / 16).reshape(-1, 8, 8)

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(1400, (BATCH,))
        return pixels[chosen], labels[chosen]

    model, sparsity = train(draw)
    model.eval()
    with torch.no_grad():
        accuracy = float((model(pixels[1400:]).argmax(1) == labels[1400:]).float().mean())
    for layer in sparsity.layers():
        print(f"{layer.name:45} {layer.kept:5} kept, density {layer.density:.3f}")
    print(f"test accuracy {accuracy:.3f} with {sparsity.kept} of {sparsity.total} weights kept")


if __name__ == "__main__":
    main()
