"""What masks that never move add to a step of an optimizer, in time and in code that runs.

    python benchmarks/hook_overhead.py [--model cifar_resnet_110] [--density 0.05] [--rounds 200] [--names]

Counts the files and functions of rarefy that run in one ``optimizer.step()``, with ``sys.setprofile``. Then a dense and
a masked model take turns: each makes ten steps on the gradients that are there. Printed is the median difference per
step, in CPU time of one thread, and for comparison the dense step and the two in-place multiplications that masks need
(of gradients and of weights).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch
from torch import nn

import rarefy
from rarefy import models

_ROOT = str(Path(str(rarefy.__file__)).parent)
_STEPS = 10  # in a turn


def make_step(name: str, density: float | None) -> tuple[nn.Module, Callable[[], object]]:
    """Makes a model with gradients, and the step of its optimizer.

    Args:
        name: The model.
        density: Fraction of weights kept; None leaves the model dense.
    """
    generator = torch.Generator().manual_seed(17)
    model = models.build(models.parse(name), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, nesterov=True, weight_decay=5e-4)
    if density is not None:
        rarefy.sparsify(model, density=density).attach(optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()
    return model, optimizer.step


def count_calls(step: Callable[[], object]) -> Counter[tuple[str, str]]:
    """Counts the calls of rarefy's functions in a step, by file and function."""
    calls: Counter[tuple[str, str]] = Counter()

    def record(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_ROOT):
            calls[code.co_filename.removeprefix(_ROOT + "/"), code.co_qualname] += 1

    sys.setprofile(record)
    try:
        step()
    finally:
        sys.setprofile(None)
    return calls


def time_steps(step: Callable[[], object]) -> float:
    """Times a turn; returns milliseconds per step."""
    start = time.thread_time()
    for _ in range(_STEPS):
        step()
    return 1e3 * (time.thread_time() - start) / _STEPS


def make_multiplication(model: nn.Module) -> Callable[[], object]:
    """Makes a function that multiplies the bits of all weights by masks of 0 and 1, twice."""
    weights = [weight.detach() for weight in rarefy.prunable(model).values()]
    bits = [weight.view(torch.int32) for weight in weights]
    masks = [weight != 0 for weight in weights]

    def multiply() -> None:
        for _ in range(2):
            for values, mask in zip(bits, masks, strict=True):
                values.mul_(mask)

    return multiply


def main() -> None:
    """Counts, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cifar_resnet_110")
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=200, help="turns of each")
    parser.add_argument("--names", action="store_true", help="also print every function with its calls")
    options = parser.parse_args()
    torch.set_num_threads(1)
    _, dense = make_step(options.model, None)
    model, masked = make_step(options.model, options.density)
    calls = count_calls(masked)
    files = {file for file, _ in calls}
    print(
        f"{options.model}: {len(files)} files, {len(calls)} functions, {calls.total()} calls of rarefy in a static step"
    )
    for (file, function), number in sorted(calls.items()) if options.names else ():
        print(f"  {file:32} {function:48} {number}")
    multiply = make_multiplication(model)
    rows = [(time_steps(dense), time_steps(masked), time_steps(multiply)) for _ in range(options.rounds)]
    plain, multiplication = (statistics.median(row[index] for row in rows) for index in (0, 2))
    hooks = statistics.median(with_masks - without for without, with_masks, _ in rows)
    print(f"dense step {plain:.2f} ms, masks add {hooks:.2f} ms, the multiplications alone {multiplication:.2f} ms")


if __name__ == "__main__":
    main()
