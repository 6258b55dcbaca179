"""Turns a config into a record: `run` trains a network, `evaluate_runs` measures finished ones, `load_run` uses one."""

from rarefy.pipeline._build import build_dense_model, build_model, draw_sparsity, split_batches
from rarefy.pipeline._densities import LayerCost, compute_densities
from rarefy.pipeline._evaluate import EvaluationOptions, Progress, evaluate_runs
from rarefy.pipeline._export import ExportReport, export
from rarefy.pipeline._faults import OutOfMemory
from rarefy.pipeline._folder import FolderLost, RunError, RunHeld, is_held
from rarefy.pipeline._load_run import TrainedNetwork, load_run
from rarefy.pipeline._networks import Network, build_network, load_network
from rarefy.pipeline._pipeline import install_engine, run
from rarefy.pipeline._predict import Prediction, predict_files
from rarefy.pipeline._published import list_published
from rarefy.pipeline._resolve import ResolvedConfig, parse_device, resolve
from rarefy.pipeline._same_data import OtherData, fingerprint_data, require_same_data

__all__ = [
    "EvaluationOptions",
    "ExportReport",
    "FolderLost",
    "LayerCost",
    "Network",
    "OtherData",
    "OutOfMemory",
    "Prediction",
    "Progress",
    "ResolvedConfig",
    "RunError",
    "RunHeld",
    "TrainedNetwork",
    "build_dense_model",
    "build_model",
    "build_network",
    "compute_densities",
    "draw_sparsity",
    "evaluate_runs",
    "export",
    "fingerprint_data",
    "install_engine",
    "is_held",
    "list_published",
    "load_network",
    "load_run",
    "parse_device",
    "predict_files",
    "require_same_data",
    "resolve",
    "run",
    "split_batches",
]
