"""Engines decide how masked layers compute: `use_engine`; ``masked`` (dense kernels and zeros) is the oracle."""

from rarefy.engines._cache import check_step_time, describe_machine
from rarefy.engines._cpu import KernelsMissing, get_compile_seconds, require_numba
from rarefy.engines._deprecated import install, remove
from rarefy.engines._folding import ForwardChanged
from rarefy.engines._inference import compile_inference
from rarefy.engines._measure import free_buffers, time_interleaved
from rarefy.engines._plan import Plan, PlanError
from rarefy.engines._profile import STEP_KINDS, profile_step
from rarefy.engines._step_clock import StepPart
from rarefy.engines._swap import EngineError, make_dense_copy
from rarefy.engines._use_engine import ENGINES, Engine, use_dense, use_engine

__all__ = [
    "ENGINES",
    "STEP_KINDS",
    "Engine",
    "EngineError",
    "ForwardChanged",
    "KernelsMissing",
    "Plan",
    "PlanError",
    "StepPart",
    "check_step_time",
    "compile_inference",
    "describe_machine",
    "free_buffers",
    "get_compile_seconds",
    "install",
    "make_dense_copy",
    "profile_step",
    "remove",
    "require_numba",
    "time_interleaved",
    "use_dense",
    "use_engine",
]

ENGINES.discover(__name__)
