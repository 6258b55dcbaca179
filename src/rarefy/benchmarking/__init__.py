"""Times networks on this machine: `bench` compares engines, `measure_scaling` training on several processes."""

from rarefy.benchmarking._bench import BenchResult, EngineTiming, bench
from rarefy.benchmarking._scaling import ScalingResult, measure_scaling
from rarefy.benchmarking._spawn import check_ranks, spawn_ranks

__all__ = ["BenchResult", "EngineTiming", "ScalingResult", "bench", "check_ranks", "measure_scaling", "spawn_ranks"]
