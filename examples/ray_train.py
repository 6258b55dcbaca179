"""One run on two workers of Ray Train. Ray starts the processes and starts them anew if one dies; rarefy does the rest.

The workers share the folder that runs go to: a run that was interrupted goes on, one that is complete is read.

    pip install "rarefy[ray]" "ray[train]"
    python ray_train.py
"""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

FLAGS = {"sparse": True, "fix": True, "density": 0.2, "model": "mlp_64_32", "epochs": 5, "engine": "masked"}
WORKERS = 2


def work(settings: dict[str, Any]) -> None:
    """What every worker does; Ray has joined them already."""
    import torch

    from rarefy.config import from_flags
    from rarefy.distributed import joining
    from rarefy.run import run

    with joining(torch.device("cpu")) as world:
        record = run(from_flags(settings["flags"]), out=Path(settings["out"]), world=world)
    ray.train.report({"accuracy": record.metrics["test"]["accuracy"], "workers": world.ranks})


def main() -> None:
    """Trains, and tells how well."""
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    here = Path.cwd()
    trainer = TorchTrainer(
        work,
        train_loop_config={"flags": FLAGS, "out": str(here / "runs")},
        scaling_config=ScalingConfig(num_workers=WORKERS, use_gpu=False),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(storage_path=str(here / "ray"), failure_config=FailureConfig(max_failures=2)),
    )
    metrics = trainer.fit().metrics
    assert metrics is not None
    print(f"test accuracy {metrics['accuracy']:.3f}, trained by {metrics['workers']} workers")


if __name__ == "__main__":
    main()
