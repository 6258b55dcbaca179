"""Room: many runs. Door: ``read_sweep`` turns one YAML file into runs, ``sweep`` trains those that are missing.

Where they are trained is a method: ``EXECUTORS``.
"""

from rarefy.sweeps._file import SweepRun, about, evaluation, read_sweep, scales
from rarefy.sweeps._loop import sweep
from rarefy.sweeps._status import State, Status, survey
from rarefy.sweeps._sweep import EXECUTORS, End, Executor, Handle, Job, Pool, SweepError
from rarefy.sweeps._work import work

EXECUTORS.discover(__name__)

__all__ = [
    "EXECUTORS",
    "End",
    "Executor",
    "Handle",
    "Job",
    "Pool",
    "State",
    "Status",
    "SweepError",
    "SweepRun",
    "about",
    "evaluation",
    "read_sweep",
    "scales",
    "survey",
    "sweep",
    "work",
]
