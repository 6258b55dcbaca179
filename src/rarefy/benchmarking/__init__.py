"""Times networks on this machine (`bench`, `profile`, `measure_scaling`), and checks how outputs follow density."""

from rarefy.benchmarking._bench import BenchResult, EngineTiming, bench
from rarefy.benchmarking._coordinate_figure import build_coordinate_figure
from rarefy.benchmarking._coordinates import LayerCoordinates, Slopes, Trial, check_scaling, fit_slopes
from rarefy.benchmarking._profile import ProfilePart, StepProfile, profile
from rarefy.benchmarking._scaling import ScalingResult, measure_scaling
from rarefy.benchmarking._spawn import check_ranks, spawn_ranks

__all__ = [
    "BenchResult",
    "EngineTiming",
    "LayerCoordinates",
    "ProfilePart",
    "ScalingResult",
    "Slopes",
    "StepProfile",
    "Trial",
    "bench",
    "build_coordinate_figure",
    "check_ranks",
    "check_scaling",
    "fit_slopes",
    "measure_scaling",
    "profile",
    "spawn_ranks",
]
