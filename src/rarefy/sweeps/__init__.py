"""Grids of runs: `read_sweep` reads them from a YAML file, `sweep` trains those without a record on an executor."""

from rarefy.sweeps._file import SweepRun, read_about, read_evaluation, read_scales, read_sweep
from rarefy.sweeps._job import run_job
from rarefy.sweeps._loop import sweep
from rarefy.sweeps._status import RunState, Status, read_statuses
from rarefy.sweeps._sweep import EXECUTORS, Executor, Handle, Job, JobResult, Pool, SweepError

EXECUTORS.discover(__name__)

__all__ = [
    "EXECUTORS",
    "Executor",
    "Handle",
    "Job",
    "JobResult",
    "Pool",
    "RunState",
    "Status",
    "SweepError",
    "SweepRun",
    "read_about",
    "read_evaluation",
    "read_scales",
    "read_statuses",
    "read_sweep",
    "run_job",
    "sweep",
]
