"""Room: what a run left behind, as one JSON. Door: ``write`` and ``read``."""

from rarefy.records._fields import QueryError
from rarefy.records._metrics import Metrics
from rarefy.records._query import select, tabulate
from rarefy.records._record import RecordDamaged, RecordError, find, read, read_all, read_history, write
from rarefy.records._schema import SCHEMA_VERSION, BestEpoch, Epoch, LayerCount, Params, Record, Timing

__all__ = [
    "SCHEMA_VERSION",
    "BestEpoch",
    "Epoch",
    "LayerCount",
    "Metrics",
    "Params",
    "QueryError",
    "Record",
    "RecordDamaged",
    "RecordError",
    "Timing",
    "find",
    "read",
    "read_all",
    "read_history",
    "select",
    "tabulate",
    "write",
]
