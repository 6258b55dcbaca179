"""Every kernel can be compiled for processors that this machine does not have: ARM, AVX2, SSE."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernels, pytest.mark.slow]

CODE = """
import importlib, pkgutil, sys, types
import llvmlite.binding as llvm
import torch
from numba.core.dispatcher import Dispatcher
from torch import nn
import rarefy
from rarefy.engines._cpu import kernels
from rarefy.engines._cpu.kernels import _atomics, _numba
from rarefy.engines._cpu.kernels._peak import measure_peak

_atomics.platform = types.SimpleNamespace(machine=lambda: "aarch64")  # code as it is emitted there
codes = {}  # of all kernels but apply_epilogue_to_map, which few gradients need
optimize = _numba._Library._optimize_final_module

def note_code(library):
    codes[id(library)] = str(library._final_module)
    optimize(library)

_numba._Library._optimize_final_module = note_code

class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, images):
        return self.norm(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

def make_network(pattern):
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(16),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), Norm(32), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 16),
    )
    return network, rarefy.sparsify(network, density=0.3, pattern=pattern, allocation="uniform")

images = torch.ones(24, 3, 16, 16)
for pattern in ("unstructured", "out8", "in8"):
    network, sparsity = make_network(pattern)
    rarefy.use_engine(network, sparsity, "cpu")
    network(images).square().sum().backward()
measure_peak(1)
network, _ = make_network("unstructured")
rarefy.compile_inference(nn.Sequential(*network[:3], nn.Flatten(), nn.Linear(16 * 256, 10)), images[:1])

found = {}
for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
    for name, kernel in vars(importlib.import_module(module.name)).items():
        if isinstance(kernel, Dispatcher) and isinstance(kernel._cache, _numba._DiskCache):
            found[name] = kernel
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for triple, processor in (
    ("aarch64-unknown-linux-gnu", "generic"), ("arm64-apple-macosx", "apple-m1"), ("x86_64-linux-gnu", "x86-64"),
):
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3, reloc="pic")
    for name, kernel in found.items():
        assert kernel.overloads or name == "apply_epilogue_to_map", f"{name} was not compiled"
        for result in kernel.overloads.values():
            module = llvm.parse_assembly(codes[id(result.library)])
            module.triple, module.data_layout = triple, str(machine.target_data)
            options = llvm.create_pipeline_tuning_options(speed_level=3)
            builder = llvm.create_pass_builder(machine, options)
            builder.getModulePassManager().run(module, builder)
            code = machine.emit_assembly(module)
            assert "fmaf" not in code, f"{name} calls a function for each multiply-add"
            print(triple, name, code.count("\\n"))
"""


def test_every_kernel_compiles_for_arm_and_for_x86_without_avx(tmp_path: Path) -> None:
    environment = os.environ | {"RAREFY_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    sizes = [line.split() for line in done.stdout.splitlines()]
    kernels = {name for _, name, _ in sizes}
    assert {"convolve", "correlate", "predict", "norm_backward"} <= kernels
    assert len({triple for triple, *_ in sizes}) == 3
    assert all(int(lines) > 100 for *_, lines in sizes)
