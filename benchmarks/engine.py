"""Compares the cpu engine with dense PyTorch and SparseProp, and with the peak of the processor.

    python benchmarks/engine.py [networks] [layers] [memory] [auto] [--threads 2] [--rounds 11] [--nets vgg16,...]
                                [--densities 0.2,0.1,0.05,0.01] [--allocations erk,uniform] [--json FILE] [--bf16]

networks: whole training steps (forward, loss, backward, SGD with momentum) with random masks, sparse in all layers that
the masks prune, against dense contiguous or channels_last, whichever is faster. Steps alternate in one process; a ratio
is the median over the rounds, with its quartiles. Shares are the network's kept FLOPs per second, divided by the
measured peak of fused multiply-adds in registers, and by the rate of dense oneDNN on this machine. Large networks, as
in --nets torchvision/mobilenet_v2,timm/convnext_atto,torchvision/resnet50, take images of the sizes in SIZES. With
--bf16 the dense networks train under autocast, too, in both layouts, and the ratio is to the fastest of four. layers:
forward and backward of single layers, one thread, repeated for 20 ms per round, against dense and, where it is
installed, SparseProp. memory: bytes of weights, gradients and momentum of a layer, divided by those of its kept
weights. auto: what the engine of that name plans, and how long it measures, also as a share of an epoch of 50,000
images; nothing is read from its cache.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import rarefy
from rarefy import models
from rarefy.engines._cpu import SparseConv2d, SparseLinear, fuse, get_compile_seconds

TARGETS = {
    "cifar_resnet_20_32": {0.2: 1.1, 0.1: 1.6, 0.05: 2.2, 0.01: 4.0},
    "cifar_resnet_20": {0.2: 1.0, 0.1: 1.4, 0.05: 1.8, 0.01: 2.5},
    "vgg16": {0.2: 1.3, 0.1: 2.2, 0.05: 3.5, 0.01: 8.0},
    "mlp_1024_1024": {0.2: 2.0, 0.1: 3.5, 0.05: 6.0, 0.01: 12.0},
}
TARGETS |= {"torchvision/mobilenet_v2": {0.1: 1.3}, "timm/convnext_atto": {0.1: 1.2}}
SIZES = {  # batch, pixels; all others take 128 images of 32 pixels, MLPs 256
    "torchvision/mobilenet_v2": (32, 96),
    "timm/convnext_atto": (32, 96),
    "torchvision/resnet50": (16, 224),
    "torchvision/wide_resnet50_2": (16, 224),
    "timm/vit_small_patch16_224": (16, 224),
}
LAYERS = (  # module, size of its input, densities
    (nn.Conv2d(32, 32, 3, padding=1, bias=False), (32, 32), (0.2, 0.1, 0.05)),
    (nn.Conv2d(64, 64, 3, padding=1, bias=False), (16, 16), (0.1, 0.05, 0.02)),
    (nn.Conv2d(64, 128, 3, stride=2, padding=1, bias=False), (16, 16), (0.1, 0.05, 0.02)),
    (nn.Conv2d(256, 256, 3, padding=1, bias=False), (8, 8), (0.1, 0.05, 0.02)),
    (nn.Linear(1024, 1024), (), (0.1, 0.05, 0.01)),
)


def make_sparse(module: nn.Module, mask: Tensor) -> nn.Module:
    """Makes the sparse layer of a dense one."""
    kind = SparseConv2d if isinstance(module, nn.Conv2d) else SparseLinear
    return kind.from_dense(module, mask)  # type: ignore[arg-type]


def make_layers_sparse(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """Copies a model with sparse layers wherever a mask prunes weights."""
    model = copy.deepcopy(model)
    for name, mask in masks.items():
        path, _, leaf = name.removesuffix(".weight").rpartition(".")
        parent = model.get_submodule(path)
        if not mask.all() and getattr(getattr(parent, leaf), "groups", 1) == 1:
            parent.add_module(leaf, make_sparse(getattr(parent, leaf), mask))
    return model


def make_step(model: nn.Module, images: Tensor, labels: Tensor, *, bf16: bool = False) -> Callable[[], None]:
    """Makes a whole training step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


def time_interleaved(steps: list[Callable[[], None]], rounds: int) -> list[list[float]]:
    """Measures seconds, [step][round]; every other round is in reverse order. The first two rounds do not count."""
    times: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds + 2):
        for index in range(len(steps))[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            steps[index]()
            times[index].append(time.perf_counter() - start)
    return [column[2:] for column in times]


def repeat_call(function: Callable[[], None], seconds: float = 0.02) -> tuple[Callable[[], None], int]:
    """Repeats a call for one round, so that its data are in the caches; returns the function and the count."""
    function()
    start = time.perf_counter()
    function()
    count = max(1, round(seconds / (time.perf_counter() - start)))

    def several() -> None:
        for _ in range(count):
            function()

    return several, count


def measure_peak(threads: int) -> float:
    """Measures GFLOP/s of fused multiply-adds in registers, of all threads."""
    from rarefy.engines._cpu.kernels._peak import measure_peak as measure

    return measure(threads)


def measure_onednn(threads: int) -> float:
    """Measures GFLOP/s of dense oneDNN on a 3x3 convolution of 64 channels."""
    layer, images = nn.Conv2d(64, 64, 3, padding=1), torch.ones(128, 64, 16, 16)
    with torch.no_grad():
        seconds = statistics.median(time_interleaved([lambda: layer(images)], 9)[0])
    return 2 * 64 * 64 * 9 * 128 * 256 / seconds / 1e9


def count_kept_flops(model: nn.Module, images: Tensor, masks: dict[str, Tensor]) -> float:
    """Counts the FLOPs of kept weights in a training step; the first layer has no input gradient."""
    total = 0.0
    for index, (name, mask) in enumerate(masks.items()):
        module = model.get_submodule(name.removesuffix(".weight"))
        seen: list[int] = []
        handle = module.register_forward_hook(lambda m, i, o, seen=seen: seen.append(o[0].numel() // len(m.weight)))
        with torch.no_grad(), FlopCounterMode(display=False):
            model(images[:2])
        handle.remove()
        total += 2 * int(mask.sum()) * seen[0] * len(images) * (2 if index == 0 else 3)
    return total


def time_networks(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Prints and yields one row per network, allocation and density."""
    limit, dense_rate = measure_peak(options.threads), measure_onednn(options.threads)
    print(f"peak {limit:.0f} GFLOP/s, dense oneDNN {dense_rate:.0f} GFLOP/s, {options.threads} thread(s)")
    dense = "  dense ms  channels_last" + ("   dense bf16  channels_last" if options.bf16 else "")
    print(f"network             allocation density {dense}  sparse ms   ratio (quartiles)    target")
    for name in options.nets:
        for allocation in options.allocations:
            for density in options.densities:
                yield _time_network(name, allocation, density, options, limit, dense_rate)


def make_network(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Makes a network with a batch of images and labels."""
    generator = torch.Generator().manual_seed(17)
    batch, size = SIZES.get(name, (256 if name.startswith("mlp") else 128, 32))
    model = models.build(models.parse(name), size=(size, size), generator=generator)
    images = torch.randn(batch, 3, size, size, generator=generator)
    return model, images, torch.randint(10, (batch,), generator=generator)


def plan_networks(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Prints and yields what the engine auto plans, and how long that takes."""
    for name in options.nets:
        for density in options.densities:
            model, images, _ = make_network(name)
            sparsity = rarefy.sparsify(model, density=density, seed=17)
            with tempfile.TemporaryDirectory() as folder:
                os.environ["RAREFY_CACHE"] = folder
                start, compiled = time.perf_counter(), get_compile_seconds()
                plan = rarefy.use_engine(model, sparsity, "auto", inputs=images)
            seconds = time.perf_counter() - start - (get_compile_seconds() - compiled)
            epoch = 50_000 / len(images) * min(plan.step_milliseconds.values()) / 1e3
            share = f"{seconds / epoch:.1%} of an epoch"
            print(f"{name} {density:g}: measured for {seconds:.1f} s ({share}); {plan.summary()}", flush=True)
            yield {"network": name, "density": density, "seconds": seconds, "milliseconds": plan.step_milliseconds}


def _time_network(
    name: str, allocation: str, density: float, options: argparse.Namespace, limit: float, dense_rate: float
) -> dict[str, object]:
    model, images, labels = make_network(name)
    masks = dict(rarefy.sparsify(model, density=density, allocation=allocation, seed=17).masks)
    flops = count_kept_flops(model, images, masks)
    sparse = make_layers_sparse(model, masks)
    fuse(sparse)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    pairs = [(model, images), (last, images.to(memory_format=torch.channels_last))]
    steps = [make_step(net, batch, labels) for net, batch in pairs]
    if options.bf16:
        steps += [make_step(copy.deepcopy(net), batch, labels, bf16=True) for net, batch in pairs]
    times = time_interleaved([*steps, make_step(sparse, images, labels, bf16=options.bf16)], options.rounds)
    dense = min(times[:-1], key=statistics.median)
    low, ratio, high = statistics.quantiles([d / s for d, s in zip(dense, times[-1], strict=True)], n=4)
    rate = flops / statistics.median(times[-1]) / 1e9
    medians = [statistics.median(column) * 1e3 for column in times]
    target = TARGETS.get(name, {}).get(density)
    columns = " ".join(
        f"{number:{width}.1f}" for number, width in zip(medians, (10, 14, *[12, 14][: len(steps) - 2], 10), strict=True)
    )
    print(
        f"{name:19s} {allocation:10s} {density:7g} {columns}   "
        f"{ratio:5.2f} ({low:.2f} to {high:.2f}) {target or '-':>9}  "
        f"{rate / limit:.0%} of peak, {rate / dense_rate:.0%} of dense",
        flush=True,
    )
    row: dict[str, object] = dict(network=name, allocation=allocation, density=density, batch=len(images), ratio=ratio)
    return row | dict(low=low, high=high, milliseconds=medians, gflops=rate, target=target, threads=options.threads)


def time_layers(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Prints and yields one row per layer and density: forward and backward, one thread, not fused."""
    torch.set_num_threads(1)
    has_peer = importlib.util.find_spec("sparseprop") is not None
    print(f"layer, forward + backward, one thread; SparseProp is {'' if has_peer else 'not '}installed")
    for module, size, densities in LAYERS:
        for density in densities:
            generator = torch.Generator().manual_seed(1)
            mask = torch.rand(module.weight.shape, generator=generator) < density
            inputs = module.weight.shape[1]
            x = torch.randn(128, inputs, *size, generator=generator) if size else torch.randn(256, inputs)
            with torch.no_grad():
                module.weight *= mask
            nets = {"dense": module, "sparse": make_sparse(module, mask)} | (_make_peer(module, x) if has_peer else {})
            functions = [repeat_call(_make_pass(net, x)) for net in nets.values()]
            times = time_interleaved([function for function, _ in functions], options.rounds)
            row = {
                key: statistics.median(column) * 1e3 / count
                for key, column, (_, count) in zip(nets, times, functions, strict=True)
            }
            texts = "  ".join(f"{key} {value:.2f} ms" for key, value in row.items())
            versus = f"  {row['sparseprop'] / row['sparse']:.2f}x SparseProp" if "sparseprop" in row else ""
            print(
                f"{_describe(module):34s} {density:5g}  {texts}   {row['dense'] / row['sparse']:.2f}x dense{versus}",
                flush=True,
            )
            yield {"layer": _describe(module), "density": density} | row
            module.reset_parameters()
    torch.set_num_threads(options.threads)


def _describe(module: nn.Module) -> str:
    stride = f" / {module.stride[0]}" if isinstance(module, nn.Conv2d) else ""
    return f"{type(module).__name__} {tuple(module.weight.shape)}{stride}"


def _make_peer(module: nn.Module, x: Tensor) -> dict[str, nn.Module]:
    """Makes the layer of SparseProp, where it supports such a layer."""
    from sparseprop.modules import SparseConv2d as PeerConv2d
    from sparseprop.modules import SparseLinear as PeerLinear

    kind = PeerConv2d if isinstance(module, nn.Conv2d) else PeerLinear
    try:
        layer = kind.from_dense(copy.deepcopy(module))
        layer(x)
    except Exception as error:  # it raises anything for a layer that it does not support
        print(f"  SparseProp does not take {_describe(module)}: {type(error).__name__}: {error}")
        return {}
    return {"sparseprop": layer}


def _make_pass(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    x = x.clone().requires_grad_()
    gradient = torch.ones_like(layer(x))

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        layer(x).backward(gradient)

    return run


def measure_memory(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Prints and yields one row per layer: its bytes, divided by 3 x 4 bytes per kept weight and the indices."""
    for module, size, densities in LAYERS:
        layer = make_sparse(module, torch.rand(module.weight.shape) < densities[0])
        optimizer = torch.optim.SGD([layer.values], lr=0.1, momentum=0.9)
        inputs = module.weight.shape[1]
        layer(torch.ones(16, inputs, *size, requires_grad=True)).sum().backward()
        optimizer.step()
        pattern = layer.pattern
        held = 4 * (layer.values.numel() + layer.values.grad.numel()) + pattern.nbytes
        held += sum(4 * state["momentum_buffer"].numel() for state in optimizer.state.values())
        least = 3 * 4 * pattern.nnz + pattern.nbytes
        dense = 3 * 4 * pattern.shape.numel()
        print(
            f"{_describe(module):34s} {densities[0]:5g}  held {held} bytes, {held / least:.3f} of needed, pattern "
            f"{pattern.nbytes / pattern.nnz:.1f} bytes per weight, {held / dense:.3f} of dense"
        )
        yield {"layer": _describe(module), "held": held, "needed": least, "dense": dense}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="networks, layers, memory, auto; default all but auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument(
        "--nets", type=lambda text: text.split(","), default=[name for name in TARGETS if "/" not in name]
    )
    parser.add_argument(
        "--densities", type=lambda text: [float(d) for d in text.split(",")], default=[0.2, 0.1, 0.05, 0.01]
    )
    parser.add_argument("--allocations", type=lambda text: text.split(","), default=["erk", "uniform"])
    parser.add_argument("--bf16", action="store_true", help="dense under autocast, too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = {}
    parts = {"networks": time_networks, "layers": time_layers, "memory": measure_memory, "auto": plan_networks}
    for part in options.parts or ["networks", "layers", "memory"]:
        rows[part] = list(parts[part](options))
    print(f"kernels compiled or loaded in {get_compile_seconds():.1f} s")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
