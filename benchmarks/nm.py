"""Compares 2:4 products on a GPU (the engine nm) with dense ones, in training and in predictions.

    python benchmarks/nm.py [--dtype bfloat16] [--rows 4096,32768] [--layers 1024x1024,4096x1024,...] [--seconds 1]

Single layers and a perceptron of three of them: forward, or forward and backward to inputs, weight and bias. The weight
is packed at every training pass, because it changes at every step, and once for predictions. A ratio is dense / nm:
above 1, nm is faster. The gradient of the weight is a dense product in both. Times are medians of
`torch.utils.benchmark`. Without a capable GPU the script says what is missing, and measures nothing.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

import rarefy
from rarefy.engines import EngineError

LAYERS = "1024x1024,4096x1024,1024x4096,4096x4096,8192x8192"
WIDTH = 4096
HEADER = "| what | rows | training | prediction |\n| --- | --- | --- | --- |"


def make_prediction(model: nn.Module, inputs: Tensor) -> Callable[[], object]:
    """Makes a forward pass without gradients."""

    def function() -> object:
        with torch.no_grad():
            return model(inputs)

    return function


def make_training_pass(model: nn.Module, inputs: Tensor) -> Callable[[], object]:
    """Makes a forward and a backward pass, without an optimizer."""
    leaf = inputs.clone().requires_grad_()

    def function() -> None:
        model.zero_grad(set_to_none=True)
        leaf.grad = None
        model(leaf).backward(gradient)

    gradient = torch.ones_like(model(leaf))
    return function


def time_call(function: Callable[[], object], seconds: float) -> float:
    """Measures the median milliseconds of one call."""
    function()
    return 1e3 * Timer("function()", globals={"function": function}).blocked_autorange(min_run_time=seconds).median


def make_networks(layers: str) -> Iterator[tuple[str, nn.Module]]:
    """Yields names and dense networks."""
    for layer in layers.split(","):
        inputs, outputs = map(int, layer.split("x"))
        yield f"Linear {inputs} to {outputs}", nn.Sequential(nn.Linear(inputs, outputs))
    hidden = [module for _ in range(3) for module in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    yield f"3 x (Linear {WIDTH} to {WIDTH}, ReLU)", nn.Sequential(*hidden)


def measure_rows(name: str, dense: nn.Module, counts: list[int], seconds: float) -> Iterator[str]:
    """Yields the rows of one network."""
    sparse = copy.deepcopy(dense)
    rarefy.use_engine(sparse, rarefy.sparsify(sparse, density=0.5, allocation="uniform", pattern="2:4"), "nm")
    weight = next(dense.parameters())
    for count in counts:
        inputs = torch.randn(count, weight.shape[1], device=weight.device, dtype=weight.dtype)
        times = [
            time_call(make(m, inputs), seconds)
            for make in (make_training_pass, make_prediction)
            for m in (dense, sparse)
        ]
        cells = [f"{a:.3f} / {b:.3f} = {a / b:.2f}" for a, b in (times[:2], times[2:])]
        yield f"| {name} | {count} | {cells[0]} | {cells[1]} |"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--rows", default="4096,32768")
    parser.add_argument("--layers", default=LAYERS, help="inputs x outputs, with commas")
    parser.add_argument("--seconds", type=float, default=1.0, help="shortest time of a measurement")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    counts = [int(count) for count in options.rows.split(",")]
    header = f"torch {torch.__version__}, {options.dtype}; milliseconds dense / nm = times as fast\n{HEADER}\n"
    for name, network in make_networks(options.layers):
        dense = network.to(device, getattr(torch, options.dtype))
        try:
            for row in measure_rows(name, dense, counts, options.seconds):
                print(f"{torch.cuda.get_device_name()}, {header}{row}" if header else row, flush=True)
                header = ""
        except EngineError as error:
            print(f"Nothing was measured. {error}")
            return


if __name__ == "__main__":
    main()
