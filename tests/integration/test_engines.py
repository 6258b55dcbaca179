"""A whole run with layers that store kept values only: the masked run's results, and the same bits however it ends."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rarefy.config import Config
from rarefy.engines import Plan
from rarefy.engines.auto import Auto
from rarefy.pipeline import run
from rarefy.training import Event, Interrupted, State

pytestmark = pytest.mark.kernels
TINY = {"name": "synthetic", "height": 8, "width": 8, "train": 256, "validation": 64, "test": 64}


@pytest.fixture(autouse=True)
def own_cache(make_cache: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAREFY_CACHE", str(make_cache(tmp_path / "cache")))
    monkeypatch.setattr("rarefy.pipeline._short_runs.SHORT_TRAINING", 0.0)  # these runs are short


def config(engine: str, **values: Any) -> Config:
    training = {"epochs": 2, "batch_size": 32, "lr": 0.01, **values.pop("training", {})}
    given = {"data": TINY, "model": "cifar_resnet_8_4", "density": 0.3, "allocation": "uniform", "engine": engine}
    return Config.from_values({**given, "training": training, **values})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("topology", ["static", "rigl"])
def test_it_trains_as_the_masked_engine_does(tmp_path: Path, topology: str) -> None:
    moves = {"name": topology} | ({} if topology == "static" else {"interval": 3})
    diagnosed = {"diagnostics": True, "select": "best", "norm_weight_decay": False, "clip_norm": 1.0}
    ours, oracle = (
        run(config(engine, topology=moves, training=diagnosed), out=tmp_path) for engine in ("cpu", "masked")
    )
    assert ours.masks == oracle.masks
    assert ours.params == oracle.params
    assert ours.files == oracle.files
    for mine, other in zip(ours.history, oracle.history, strict=True):
        untimed = [row.model_dump(exclude={"seconds", "data_seconds"}, exclude_none=True) for row in (mine, other)]
        assert untimed[0] == pytest.approx(untimed[1], rel=1e-3, abs=1e-4)
    assert ours.engine["layers"]["layer1.0.conv1.weight"] == "sparse"
    assert oracle.engine["layers"]["layer1.0.conv1.weight"] == "dense"


def test_stopped_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    chosen = config("cpu", topology={"name": "set", "interval": 3})
    whole = run(chosen, out=tmp_path / "whole")
    steps: list[int] = []

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    with pytest.raises(Interrupted):
        run(chosen, out=tmp_path / "stopped", callbacks=[count], should_stop=lambda: len(steps) == 5)
    record = run(chosen, out=tmp_path / "stopped", callbacks=[count])
    assert len(steps) == 16
    files = [tmp_path / name / record.id / "model.safetensors" for name in ("whole", "stopped")]
    assert digest(files[0]) == digest(files[1])
    assert whole.metrics == record.metrics


def test_a_resumed_run_follows_the_plan_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever measuring would say now."""
    plans: list[str] = []

    def decide(self: Auto, model: Any, sparsity: Any, sample: Any) -> Plan:
        plans.append("sparse" if not plans else "dense")
        return Plan("auto", {name: plans[-1] for name in sparsity.masks}, source="measured")

    monkeypatch.setattr(Auto, "__call__", decide)
    steps: list[int] = []

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    with pytest.raises(Interrupted):
        run(config("auto"), out=tmp_path, callbacks=[count], should_stop=lambda: len(steps) == 5)
    record = run(config("auto"), out=tmp_path)
    assert plans == ["sparse"]
    assert set(record.engine["layers"].values()) == {"sparse"}
    folder = tmp_path / record.id
    assert json.loads((folder / "engine.json").read_text())["plan"]["layers"] == record.engine["layers"]


def test_auto_says_in_the_record_what_it_measured(tmp_path: Path) -> None:
    record = run(config("auto", training={"epochs": 1}), out=tmp_path)
    engine = record.engine
    assert engine["engine"] == "auto"
    assert set(engine["step_milliseconds"]) == {"dense", "sparse", "channels_last"}
    assert engine["batch"] == [32, 3, 8, 8]
    assert engine["threads"] >= 1
    assert engine["milliseconds"]


def test_a_run_takes_the_other_order_of_memory_where_its_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(self: Auto, model: Any, sparsity: Any, sample: Any) -> Plan:
        times = {"dense": 3.0, "sparse": 2.0, "channels_last": 1.0}
        layers = dict.fromkeys(sparsity.masks, "sparse")
        return Plan("auto", layers, step_milliseconds=times, layout="channels_last", source="measured")

    oracle = run(config("masked"), out=tmp_path)
    monkeypatch.setattr(Auto, "__call__", decide)
    orders: set[bool] = set()

    def look(event: Event, state: State) -> None:
        weight = state.model.get_parameter("layer1.0.conv1.weight")
        orders.add(weight.is_contiguous(memory_format=torch.channels_last))

    record = run(config("auto"), out=tmp_path, callbacks=[look])
    assert orders == {True}
    assert set(record.engine["layers"].values()) == {"dense"}
    losses = [[row.train_loss for row in one.history] for one in (record, oracle)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
def test_steps_slower_than_the_plan_leave_the_run_alone_and_make_the_next_one_measure(tmp_path: Path) -> None:
    run(config("auto", training={"epochs": 1}), out=tmp_path)
    (file,) = (tmp_path / "cache" / "plans").iterdir()
    content = json.loads(file.read_text())
    content["plan"] |= {"step_milliseconds": {"dense": 0.002, "sparse": 0.001}, "layout": "", "reason": ""}
    content["plan"]["layers"] = {name: "sparse" for name in content["plan"]["milliseconds"]}
    file.write_text(json.dumps(content | {"doubt": ""}))
    slow = run(config("auto", training={"epochs": 16}), out=tmp_path)
    assert slow.engine["source"] == "cache"
    assert json.loads((tmp_path / slow.id / "engine.json").read_text())["plan"]["layers"] == slow.engine["layers"]
    later = run(config("auto", seed=2, training={"epochs": 1}), out=tmp_path)
    assert later.engine["source"] == "measured"


@pytest.mark.slow
def test_a_user_without_a_writable_home_trains_sparse_and_is_told_that_kernels_are_not_kept(tmp_path: Path) -> None:
    """As in a container: a home that cannot be written to, not even by root, and no variable that names a cache."""
    words = "-m rarefy train --epoch 1 --sparse --fix --density 0.1 --model mlp_64 --engine cpu --out runs"
    done = subprocess.run(
        [sys.executable, *words.split()],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": "/dev/null", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RAREFY_CACHE") == 1
    (record,) = (tmp_path / "runs").glob("*/record.json")
    assert "sparse" in json.loads(record.read_text())["engine"]["layers"].values()
