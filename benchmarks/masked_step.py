"""What masks cost: a whole training step with masks attached against the same dense step.

    python benchmarks/masked_step.py [--threads N] [--rounds 31] [--density 0.05] [--batch 128] [--diagnostics]

Both train cifar_resnet_20 on the same batch of 32x32 images with SGD, momentum and weight decay: forward, loss,
backward, step. They take turns in one process, in changing order; a ratio is the median of those of the turns, with
their quartiles beside it. The same for ``optimizer.step()`` alone, on the same gradients: the difference is what the
hooks cost. Target: a whole step of at most 1.02 times the dense one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import rarefy
from rarefy import models

TARGET = 1.02
TARGET_DIAGNOSTICS = 1.05


class Step:
    """The training step of one network on one batch.

    Args:
        batch: Number of images.
        density: Fraction of weights kept; None leaves the network dense and the optimizer without hooks.
        topology: How masks move.
        diagnostics: Whether gradient norms are noted at every step.
    """

    def __init__(
        self, batch: int, density: float | None, topology: str | object = "static", *, diagnostics: bool = False
    ) -> None:
        generator = torch.Generator().manual_seed(17)
        self.model = models.build(models.parse("cifar_resnet_20"), generator=generator)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.001, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self._images = torch.randn(batch, 3, 32, 32, generator=generator)
        self._labels = torch.randint(10, (batch,), generator=generator)
        if density is not None:
            sparsity = rarefy.sparsify(self.model, density=density, topology=topology)  # type: ignore[arg-type]
            sparsity.attach(self.optimizer, steps=1_000_000, diagnostics=diagnostics)

    def __call__(self) -> None:
        """Forward, loss, backward, step."""
        self.backward()
        self.take()

    def take(self) -> None:
        """The step alone, on the gradients that are there."""
        self.optimizer.step()

    def backward(self) -> None:
        """Forward, loss and backward."""
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self._images), self._labels).backward()

    def gradients(self) -> list[Tensor]:
        """A copy of the gradients as they are."""
        return [weight.grad.clone() for weight in self.model.parameters() if weight.grad is not None]

    def restore(self, gradients: list[Tensor]) -> None:
        """Puts gradients back: hooks mask them in place."""
        for weight, gradient in zip(self.model.parameters(), gradients, strict=True):
            weight.grad = gradient.clone()


def seconds(act: Callable[[], None]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def take_turns(measures: list[Callable[[], float]], rounds: int, *, warm_up: int = 2) -> list[tuple[float, ...]]:
    """One row a round: what each measure gave, in the order of the list; every other round runs them backwards."""
    rows = []
    for turn in range(warm_up + rounds):
        order = range(len(measures)) if turn % 2 else range(len(measures) - 1, -1, -1)
        results = {index: measures[index]() for index in order}
        rows.append(tuple(results[index] for index in range(len(measures))))
    return rows[warm_up:]


def ratio(rows: list[tuple[float, float]]) -> tuple[float, str]:
    """The median of second / first over the rounds, and a text with its quartiles."""
    low, middle, high = statistics.quantiles((second / first for first, second in rows), n=4)
    return middle, f"{middle:.3f} (quartiles {low:.3f} to {high:.3f})"


def compare_steps(dense: Step, masked: Step, rounds: int) -> tuple[float, float]:
    """Prints medians of the whole step; returns their paired ratio, and the milliseconds of the dense one."""
    rows = take_turns([lambda: seconds(dense), lambda: seconds(masked)], rounds)
    plain, with_masks = (statistics.median(column) * 1e3 for column in zip(*rows, strict=True))
    value, text = ratio(rows)  # type: ignore[arg-type]
    print(f"whole step      dense {plain:9.2f} ms   masked {with_masks:9.2f} ms   ratio {text}")
    return value, plain


def compare_optimizers(dense: Step, masked: Step, rounds: int) -> float:
    """Prints medians of ``optimizer.step()`` without and with hooks, on equal gradients; returns the difference."""
    dense.backward()
    gradients = dense.gradients()

    def timed(step: Step) -> float:
        step.restore(gradients)
        return seconds(step.take)

    rows = take_turns([lambda: timed(dense), lambda: timed(masked)], rounds)
    plain, with_hooks = (statistics.median(column) * 1e3 for column in zip(*rows, strict=True))
    hooks = statistics.median(second - first for first, second in rows) * 1e3
    print(f"optimizer.step  dense {plain:9.2f} ms   masked {with_hooks:9.2f} ms   hooks alone {hooks:.2f} ms")
    return hooks


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--rounds", type=int, default=31, help="turns of both steps")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--diagnostics", action="store_true", help="with diagnostics on; target: at most 1.05")
    options = parser.parse_args()
    target = TARGET_DIAGNOSTICS if options.diagnostics else TARGET
    torch.set_num_threads(options.threads)
    print(
        f"cifar_resnet_20, batch {options.batch}, ERK {options.density:g}, static, {options.threads} thread(s), "
        f"median of {options.rounds} turns"
    )
    dense, masked = Step(options.batch, None), Step(options.batch, options.density, diagnostics=options.diagnostics)
    value, whole = compare_steps(dense, masked, options.rounds)
    hooks = compare_optimizers(dense, masked, 3 * options.rounds)
    print(f"hooks alone are {hooks / whole:.2%} of a dense step")
    print(f"target: at most {target}: {'reached' if value <= target else 'not reached'} ({value:.3f})")


if __name__ == "__main__":
    main()
