"""Room: the corridor, the only one that enters every other, in order. Door: ``run``: a config becomes a record.

``evaluate_runs`` looks at finished runs again, ``compare_runs`` asks whether they are the same, ``report`` shows
them all.
"""

from rarefy.run._bench import Bench, Timing, bench
from rarefy.run._compare import Compared, MetricTable, Row, compare_runs
from rarefy.run._corridor import run
from rarefy.run._densities import LayerCost, densities
from rarefy.run._evaluate import Progress, Request, evaluate_runs, joint_page
from rarefy.run._faults import OutOfMemory
from rarefy.run._finished import CompareError, read_runs
from rarefy.run._networks import Network, network_of_config, network_of_run
from rarefy.run._place import FolderLost, RunError, RunHeld, is_held
from rarefy.run._plan import Plan, resolve
from rarefy.run._report import report
from rarefy.run._same_data import OtherData, fingerprint_data, require_same_data
from rarefy.run._scaling import Speed, scaling
from rarefy.run._spawn import check_ranks, spawned

__all__ = [
    "Bench",
    "CompareError",
    "Compared",
    "FolderLost",
    "LayerCost",
    "MetricTable",
    "Network",
    "OtherData",
    "OutOfMemory",
    "Plan",
    "Progress",
    "Request",
    "Row",
    "RunError",
    "RunHeld",
    "Speed",
    "Timing",
    "bench",
    "check_ranks",
    "compare_runs",
    "densities",
    "evaluate_runs",
    "fingerprint_data",
    "is_held",
    "joint_page",
    "network_of_config",
    "network_of_run",
    "read_runs",
    "report",
    "require_same_data",
    "resolve",
    "run",
    "scaling",
    "spawned",
]
