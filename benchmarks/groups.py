"""Compares training with masks in groups (out4, out8, out16, in4, in8) with unstructured masks at the same density.

    python benchmarks/groups.py [steps] [layers] [--nets vgg16,...] [--densities 0.1,0.05] [--patterns out8,...]
                                [--threads 1] [--rounds 11] [--json FILE]

steps: whole training steps (forward, loss, backward, SGD with momentum) with ERK masks, sparse in all layers that the
masks prune. Every pattern's steps alternate with unstructured ones in one process; a ratio is the median over the
rounds of unstructured / grouped, with its quartiles. layers: GFLOP/s of kept weights in the forward pass, the input
gradient and the weight gradient of single layers, unstructured and grouped; blocks are made before.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from engine import make_layers_sparse, make_network, make_step, repeat_call, time_interleaved
from torch import Tensor

import rarefy
from rarefy.engines._cpu import KeptIndices, fuse, get_compile_seconds
from rarefy.engines._cpu.blocked._geometry import Geometry
from rarefy.engines._cpu.blocked._layout import to_blocked
from rarefy.engines._cpu.blocked._operands import NO_EPILOGUE, LazyActivation, LazyGradient
from rarefy.engines._cpu.blocked._products import make_products

NETS = ("cifar_resnet_20_32", "cifar_resnet_20", "vgg16", "mlp_1024_1024")
PATTERNS = ("out4", "out8", "out16", "in4", "in8")
LAYERS = (  # weight, pixels, stride
    ((32, 32, 3, 3), 32, 1),
    ((64, 64, 3, 3), 16, 1),
    ((128, 64, 3, 3), 16, 2),
    ((128, 128, 3, 3), 8, 1),
    ((256, 256, 3, 3), 8, 1),
    ((512, 512, 3, 3), 4, 1),
    ((512, 512, 3, 3), 2, 1),
    ((256, 256, 1, 1), 8, 1),
    ((1024, 1024), 1, 1),
)


def time_steps(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Prints and yields one row per network and density."""
    print("network             density  unstructured ms   unstructured / grouped (quartiles) by pattern")
    for name in options.nets:
        for density in options.densities:
            model, images, labels = make_network(name)
            steps = []
            for pattern in ("unstructured", *options.patterns):
                net = copy.deepcopy(model)
                sparsity = rarefy.sparsify(net, density=density, allocation="erk", seed=17, pattern=pattern)
                net = make_layers_sparse(net, dict(sparsity.masks))
                fuse(net)
                steps.append(make_step(net, images, labels))
            times = time_interleaved(steps, options.rounds)
            row: dict[str, object] = {"network": name, "density": density, "threads": options.threads}
            row["milliseconds"] = statistics.median(times[0]) * 1e3
            texts = []
            for pattern, column in zip(options.patterns, times[1:], strict=True):
                low, ratio, high = statistics.quantiles([u / g for u, g in zip(times[0], column, strict=True)], n=4)
                row[pattern] = (low, ratio, high)
                texts.append(f"{pattern} {ratio:.2f} ({low:.2f} to {high:.2f})")
            print(f"{name:19s} {density:7g} {row['milliseconds']:16.1f}   {'  '.join(texts)}", flush=True)
            yield row


def time_layers(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Prints and yields one row per layer, density and pattern."""
    print("GFLOP/s of kept weights: unstructured to grouped (ratio)")
    for weight, pixels, stride in LAYERS:
        for density in options.densities:
            for pattern in options.patterns:
                rates = _time_layer(weight, pixels, stride, density, pattern, options)
                texts = [f"{name} {u:.0f} to {g:.0f} ({g / u:.2f})" for name, (u, g) in rates.items()]
                text = "x".join(map(str, weight)) + (f" / {stride}" if stride > 1 else "")
                print(f"{text:16s} {pixels:2d} pixels, {density:g}, {pattern}: {', '.join(texts)}", flush=True)
                yield {"weight": weight, "pixels": pixels, "stride": stride, "density": density} | {
                    "pattern": pattern, "gflops": rates,
                }  # fmt: skip


def _time_layer(
    weight: tuple[int, ...], pixels: int, stride: int, density: float, pattern: str, options: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Returns, by product, GFLOP/s with unstructured and with grouped masks."""
    module: torch.nn.Module = torch.nn.Linear(weight[1], weight[0], bias=False)
    if len(weight) == 4:
        module = torch.nn.Conv2d(weight[1], weight[0], weight[2:], stride, weight[2] // 2, bias=False)
    passes = [_make_passes(module, pixels, _draw_mask(module, density, each)) for each in ("unstructured", pattern)]
    rates = {}
    for name in passes[0][1]:
        functions = [repeat_call(functions[name]) for _, functions in passes]
        times = time_interleaved([function for function, _ in functions], options.rounds)
        rates[name] = tuple(
            flops * count / statistics.median(column) / 1e9
            for (flops, _), (_, count), column in zip(passes, functions, times, strict=True)
        )
    return rates  # type: ignore[return-value]


def _draw_mask(module: torch.nn.Module, density: float, pattern: str) -> Tensor:
    model = torch.nn.Sequential(copy.deepcopy(module))
    (mask,) = dict(rarefy.sparsify(model, density=density, allocation="uniform", pattern=pattern).masks).values()
    return mask


def _make_passes(module: torch.nn.Module, pixels: int, mask: Tensor) -> tuple[float, dict[str, Callable[[], object]]]:
    """Makes the three products of a layer on 128 images or 256 rows; returns their FLOPs, too."""
    pattern = KeptIndices(mask)
    geometry = Geometry(pattern)
    source = torch.randn(256, mask.shape[1])
    if isinstance(module, torch.nn.Conv2d):
        geometry = Geometry.of(pattern, module.stride, module.padding, module.dilation, 1)
        source = torch.randn(128, mask.shape[1], pixels, pixels)
    maps = to_blocked(source)
    shape = geometry.shape(maps)
    out, source_grad = maps.new_output(mask.shape[0], shape.out), maps.new_like()
    grad = to_blocked(torch.randn(len(source), mask.shape[0], *(shape.out if source.dim() == 4 else ())))
    products = make_products(pattern, shape)
    values, bias = torch.randn(pattern.nnz).numpy(), torch.zeros(mask.shape[0]).numpy()
    lazy, lazy_grad = LazyActivation.plain(maps), LazyGradient.plain(grad)
    flops = 2.0 * pattern.nnz * len(source) * shape.out[0] * shape.out[1] if source.dim() == 4 else 512.0 * pattern.nnz
    return flops, {
        "forward": lambda: products.convolve(values, bias, lazy, out, moments=False),
        "input gradient": lambda: products.convolve_backward(values, lazy_grad, source_grad, NO_EPILOGUE),
        "weight gradient": lambda: products.correlate(lazy, lazy_grad, bias=False),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="steps, layers; default both")
    for name, values, kind in (("nets", NETS, str), ("densities", (0.1, 0.05), float), ("patterns", PATTERNS, str)):
        parser.add_argument(
            f"--{name}", type=lambda text, kind=kind: [kind(part) for part in text.split(",")], default=list(values)
        )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = {"steps": time_steps, "layers": time_layers}
    rows = {part: list(parts[part](options)) for part in options.parts or parts}
    print(f"kernels compiled or loaded in {get_compile_seconds():.1f} s")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
