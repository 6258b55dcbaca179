"""Trains one run on two workers of Ray Train, which starts the processes and restarts them if one dies.

The workers share the folder of the runs: an interrupted run is resumed, a finished one is read.

    pip install "ray[train]"
    python ray_train.py
"""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from rarefy.config import build_config
from rarefy.distributed import join_process_group
from rarefy.pipeline import resolve, run
from rarefy.records import read

FLAGS = {"sparse": True, "fix": True, "density": 0.2, "model": "mlp_64_32", "epochs": 5, "engine": "masked"}
WORKERS = 2


def train_on_worker(settings: dict[str, Any]) -> None:
    """Trains on one worker; Ray has already joined them in a process group."""
    with join_process_group(torch.device("cpu")) as world:
        run(build_config(settings["flags"]), out=Path(settings["out"]), world=world)


def main() -> None:
    """Trains, then prints the test accuracy from the record in the shared folder."""
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    here = Path.cwd()
    trainer = TorchTrainer(
        train_on_worker,
        train_loop_config={"flags": FLAGS, "out": str(here / "runs")},
        scaling_config=ScalingConfig(num_workers=WORKERS, use_gpu=False),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=str(here / "ray"), failure_config=FailureConfig(max_failures=2)),
    )
    trainer.fit()
    record = read(here / "runs" / resolve(build_config(FLAGS)).id)
    accuracy, workers = record.metrics["test"]["accuracy"], record.environment["ranks"]
    print(f"test accuracy {accuracy:.3f}, trained by {workers} workers")


if __name__ == "__main__":
    main()
