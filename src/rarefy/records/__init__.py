"""Records of runs: ``record.json``, its schema, and queries over many of them."""

from rarefy.records._fields import QueryError
from rarefy.records._frame import frame
from rarefy.records._metric_info import MetricInfo, describe_metrics
from rarefy.records._metric_titles import describe_metric
from rarefy.records._metrics import Metrics
from rarefy.records._query import select, tabulate
from rarefy.records._record import RecordDamaged, RecordError, find, read, read_all, read_history, write
from rarefy.records._schema import SCHEMA_VERSION, BestEpoch, DataSpec, Epoch, LayerCount, Params, Record, Timing
from rarefy.records._sweep_plan import SweepPlan, read_sweep_plans, write_sweep_plan

__all__ = [
    "SCHEMA_VERSION",
    "BestEpoch",
    "DataSpec",
    "Epoch",
    "LayerCount",
    "MetricInfo",
    "Metrics",
    "Params",
    "QueryError",
    "Record",
    "RecordDamaged",
    "RecordError",
    "SweepPlan",
    "Timing",
    "describe_metric",
    "describe_metrics",
    "find",
    "frame",
    "read",
    "read_all",
    "read_history",
    "read_sweep_plans",
    "select",
    "tabulate",
    "write",
    "write_sweep_plan",
]
