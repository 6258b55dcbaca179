"""Times predictions against ONNX Runtime, OpenVINO and torch: python benchmarks/prediction.py [NET:DENSITY ...].

Prints, per batch size, milliseconds and the ratio of each rival's time to ours: the median over rounds in which all run
one after the other. Rivals get the dense network in float32 with batch norm folded, and as many threads as we. ONNX
Runtime and OpenVINO are timed where they are installed (with `onnx` and `onnxscript`, which write their model).

    python benchmarks/prediction.py cifar_resnet_20:0.1 --batches 1,16 --threads 1,2 --csv times.csv
    NUMBA_CPU_FEATURES=+avx2,+fma python benchmarks/prediction.py mlp_1024_1024:0.1      # without AVX-512
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import io
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import rarefy
from rarefy import models

CASES = (
    "cifar_resnet_20:0.1", "cifar_resnet_20:0.05", "cifar_resnet_20_32:0.1", "cifar_resnet_20_32:0.05", "vgg16:0.05",
    "mlp_1024_1024:0.1", "resnet50:0.05:224", "timm/vit_tiny_patch16_224:0.1:224",
)  # fmt: skip
BATCHES = (1, 2, 4, 8, 15, 16, 17, 32, 64, 128)
ROUNDS = 7
SECONDS = 0.004  # of calls in a round, at least
REST = 0.02  # seconds in which threads of the rival before stop to wait for work
Contenders = dict[str, Callable[[], object]]


def make_network(name: str, density: float, size: int, pattern: str = "unstructured") -> nn.Module:
    """Makes a sparse network with random weights, in evaluation mode."""
    generator = torch.Generator().manual_seed(17)
    classes = 1000 if size > 32 else 10
    network = models.build(models.parse(name), classes=classes, size=(size, size), generator=generator)
    rarefy.sparsify(network, density=density, pattern=pattern, seed=17)
    with torch.no_grad():  # a batch norm that changes nothing could be left out
        network.train()(torch.randn(4, 3, size, size, generator=generator))
    return network.eval()


def write_onnx(network: nn.Module, size: int, path: Path) -> bool:
    """Writes a network for the rivals; returns whether their packages are there."""
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError:
        return False
    dimension = torch.export.Dim("images")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = (torch.zeros(2, 3, size, size),)
        torch.onnx.export(network, inputs, path, dynamo=True, dynamic_shapes=({0: dimension},), external_data=False)
    return True


def load_onnxruntime(path: Path, threads: int) -> Callable[[Tensor], Callable[[], object]]:
    """Loads ONNX Runtime's session; returns what makes a prediction of a batch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def make(images: Tensor) -> Callable[[], object]:
        arrays = {name: images.numpy()}
        return lambda: session.run(None, arrays)

    return make


def load_openvino(path: Path, threads: int) -> Callable[[Tensor], Callable[[], object]]:
    """Loads OpenVINO's model; returns what makes a prediction of a batch, compiled for its size."""
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}

    def make(images: Tensor) -> Callable[[], object]:
        model = core.read_model(path)
        model.reshape(list(images.shape))
        request = core.compile_model(model, "CPU", options).create_infer_request()
        arrays = [images.numpy()]
        return lambda: request.infer(arrays)

    return make


def make_torch(network: nn.Module, memory_format: torch.memory_format) -> Callable[[Tensor], Callable[[], object]]:
    """Makes torch's dense network, batch norm folded, in a memory layout."""
    from rarefy.engines._folding import fold_norms
    from rarefy.engines._swap import make_dense_copy

    dense = make_dense_copy(network).eval().requires_grad_(False)
    fold_norms(dense)
    dense.to(memory_format=memory_format)

    def make(images: Tensor) -> Callable[[], object]:
        inputs = images.contiguous(memory_format=memory_format)
        return lambda: dense(inputs)

    return make


def time_rounds(contenders: Contenders, *, rest: bool) -> dict[str, list[float]]:
    """Returns the milliseconds of a call of each contender, one number per round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(ROUNDS):
        for name in contenders if turn % 2 else reversed(contenders):
            if rest:
                time.sleep(REST)
            contenders[name]()
            calls, start = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - start < SECONDS:
                contenders[name]()
                calls += 1
            times[name].append(1e3 * (time.perf_counter() - start) / calls)
    return times


def make_compiled(network: nn.Module) -> Callable[[Tensor], nn.Module]:
    """Makes a function that compiles a network: once for small batches and once for large ones."""
    compiled: dict[bool, nn.Module] = {}

    def get(images: Tensor) -> nn.Module:
        is_large = len(images) >= 8
        if is_large not in compiled:
            compiled[is_large] = rarefy.compile_inference(network, images)
        return compiled[is_large]

    return get


def run_case(case: str, batches: list[int], threads: int, pattern: str) -> list[dict[str, object]]:
    """Times one network at several batch sizes, and prints a line per size."""
    name, density, size = (*case.split(":"), "32")[:3]
    torch.set_num_threads(threads)
    network = make_network(name, float(density), int(size), pattern)
    rivals: dict[str, Callable[[Tensor], Callable[[], object]]] = {}
    if pattern != "unstructured":
        unstructured = make_compiled(make_network(name, float(density), int(size)))
        rivals["unstructured"] = lambda images: functools.partial(unstructured(images), images)
    rivals["torch"] = make_torch(network, torch.contiguous_format)
    if any(isinstance(module, nn.Conv2d) for module in network.modules()):
        rivals["channels_last"] = make_torch(network, torch.channels_last)
    rows = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        if write_onnx(network, int(size), path := Path(folder) / "network.onnx"):
            for rival, load in (("onnxruntime", load_onnxruntime), ("openvino", load_openvino)):
                with contextlib.suppress(ImportError):
                    rivals[rival] = load(path, threads)
        compiled = make_compiled(network)
        for batch in batches:
            images = torch.randn(batch, 3, int(size), int(size), generator=torch.Generator().manual_seed(1))
            ours = compiled(images)
            contenders: Contenders = {"rarefy": functools.partial(ours, images)}
            contenders |= {rival: make(images) for rival, make in rivals.items()}
            rows.append(print_row(case, threads, batch, time_rounds(contenders, rest=threads > 1), ours))
    return rows


def print_row(case: str, threads: int, batch: int, times: dict[str, list[float]], ours: nn.Module) -> dict[str, object]:
    """Prints the medians of a batch size; returns them for the file."""
    ratios = {
        rival: statistics.median(a / b for a, b in zip(column, times["rarefy"], strict=True))
        for rival, column in times.items()
        if rival != "rarefy"
    }
    milliseconds = {name: statistics.median(column) for name, column in times.items()}
    plan = " + ".join(f"{piece.images} {piece.way}" for piece in ours.plan(batch)) if hasattr(ours, "plan") else "own"
    text = " ".join(f"{rival} {milliseconds[rival]:.3f} ({ratio:.2f}x)" for rival, ratio in ratios.items())
    print(f"{case} threads {threads} batch {batch:3d}: {milliseconds['rarefy']:.3f} ms [{plan}]  {text}", flush=True)
    row: dict[str, object] = {"case": case, "threads": threads, "batch": batch, "plan": plan}
    row |= {f"{name}_ms": round(value, 4) for name, value in milliseconds.items()}
    return row | {f"{rival}_ratio": round(ratio, 3) for rival, ratio in ratios.items()}


def main() -> None:
    """Reads the arguments and times every case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("cases", nargs="*", default=CASES, help="NET:DENSITY or NET:DENSITY:SIZE")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--pattern", default="unstructured", help="such as out8: timed beside unstructured masks, too")
    parser.add_argument("--csv", type=Path, help="file for all numbers")
    options = parser.parse_args()
    rows = []
    for case in options.cases:
        sizes = [int(batch) for batch in options.batches.split(",")]
        few = [size for size in sizes if size <= 16] if case.endswith(":224") else sizes
        for threads in options.threads.split(","):
            rows += run_case(case, few, int(threads), options.pattern)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
