"""Measures training steps as on processors with less: AVX2 without AVX-512, and SSE alone.

    python benchmarks/processors.py [--net cifar_resnet_20_32] [--densities 0.2,0.1,0.05] [--rounds 15] [--threads 1]

Each line is a process whose kernels, torch and oneDNN are limited to some instructions of this processor. Dense and
sparse steps alternate; the numbers are medians in milliseconds, and how many times as fast sparse is. Kernels are
compiled anew for every processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

PROCESSORS = {
    "this one": {},
    "AVX2": {
        "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma",
        "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "SSE 4.2": {
        "NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2",
        "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
}  # fmt: skip
CHILD = """
import copy, statistics, sys, time
import torch
import rarefy
from rarefy import models

net, density, rounds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
generator = torch.Generator().manual_seed(17)
dense = models.build(models.parse(net), generator=generator)
images, labels = torch.randn(64, 3, 32, 32, generator=generator), torch.randint(10, (64,), generator=generator)
sparse = copy.deepcopy(dense)
sparsity = rarefy.sparsify(sparse, density=density, seed=17)
rarefy.use_engine(sparse, sparsity, "cpu", inputs=images)
other = copy.deepcopy(dense).to(memory_format=torch.channels_last)
layouts = {"dense": dense, "channels_last": other, "sparse": sparse}
times = {name: [] for name in layouts}
for turn in range(rounds + 1):
    for name, network in layouts.items():
        start = time.perf_counter()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        if turn:
            times[name].append(1e3 * (time.perf_counter() - start))
middle = {name: statistics.median(values) for name, values in times.items()}
best = min(middle["dense"], middle["channels_last"])
print(f"{best:9.1f} {middle['sparse']:9.1f} {best / middle['sparse']:7.2f}")
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="cifar_resnet_20_32")
    parser.add_argument("--densities", default="0.2,0.1,0.05")
    parser.add_argument("--rounds", default="15")
    parser.add_argument("--threads", default="1")
    options = parser.parse_args()
    print(f"{options.net}, {options.threads} thread(s), batch 64\n{'':9s} density     dense    sparse   ratio")
    for name, limits in PROCESSORS.items():
        for density in options.densities.split(","):
            words = [sys.executable, "-c", CHILD, options.net, density, options.rounds, options.threads]
            line = subprocess.run(words, env=os.environ | limits, check=True, stdout=subprocess.PIPE, text=True).stdout
            print(f"{name:9s} {density:>7s} {line.rstrip()}", flush=True)


if __name__ == "__main__":
    main()
