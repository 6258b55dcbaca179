"""The corridor from end to end, on data that is made here: twice the same bits, killed and resumed the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rarefy
from rarefy import data, evaluation, models
from rarefy.config import Config
from rarefy.pipeline import OutOfMemory, RunError, compute_densities, resolve, run
from rarefy.records import read
from rarefy.rng import Streams
from rarefy.training import Event, Interrupted, State

TINY = {"name": "synthetic", "height": 8, "width": 8, "train": 256, "validation": 64, "test": 64}


def config(**values: Any) -> Config:
    training = {"epochs": 2, "batch_size": 32, **values.pop("training", {})}
    return Config.from_values({"data": TINY, "model": "mlp_24_16", "density": 0.2, "training": training, **values})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_s_folder_holds_what_was_promised(tmp_path: Path) -> None:
    record = run(config(), out=tmp_path)
    folder = tmp_path / record.id
    promised = [
        "config.yaml",
        "record.json",
        "history.jsonl",
        "last.ckpt",
        "model.safetensors",
        "log.txt",
        "curves.png",
    ]
    assert {*promised, "curves.csv", "layers.csv"} <= {path.name for path in folder.iterdir()}
    assert read(folder) == record
    assert [json.loads(line)["epoch"] for line in (folder / "history.jsonl").read_text().splitlines()] == [1, 2]
    assert record.files["model.safetensors"] == (folder / "model.safetensors").stat().st_size
    total = 3 * 64 * 24 + 24 * 16 + 16 * 10
    assert (record.params.total, record.params.kept) == (total, round(0.2 * total))
    assert sum(layer.kept for layer in record.layers) == record.params.kept


@pytest.mark.parametrize("values", [{}, {"topology": {"name": "rigl", "interval": 3}}, {"allocation": "snip"}], ids=str)
def test_twice_the_same_bits(tmp_path: Path, values: dict[str, Any]) -> None:
    first, second = (run(config(**values), out=tmp_path / name) for name in "ab")
    assert digest(tmp_path / "a" / first.id / "model.safetensors") == digest(
        tmp_path / "b" / second.id / "model.safetensors"
    )
    assert first.metrics == second.metrics
    assert [row.train_loss for row in first.history] == [row.train_loss for row in second.history]


def test_the_saved_model_scores_what_the_record_says(tmp_path: Path) -> None:
    record = run(config(), out=tmp_path)
    plan = resolve(config())
    splits = data.load(plan.dataset, tmp_path, Streams(17)("split"))
    model = models.build(plan.model, in_channels=3, classes=10, size=(8, 8), generator=torch.Generator())
    rarefy.load(model, tmp_path / record.id / "model.safetensors")
    right = model.eval()(splits.spec.normalize(splits.test.images.float() / 255)).argmax(1) == splits.test.labels
    assert right.float().mean().item() == pytest.approx(record.metrics["test"]["accuracy"])


@pytest.mark.parametrize("engine", ["masked", "cpu"])
@pytest.mark.parametrize("topology", ["static", {"name": "rigl", "interval": 3}], ids=str)
def test_the_best_validation_epoch_is_tested_beside_the_last(tmp_path: Path, topology: Any, engine: str) -> None:
    values = {"topology": topology, "engine": engine, "training": {"epochs": 12, "lr": 0.4}}
    last = run(config(**values), out=tmp_path / "last")
    best = run(config(**{**values, "training": {**values["training"], "select": "best"}}), out=tmp_path / "best")
    accuracies = [row.validation_accuracy for row in last.history]
    assert last.best_epoch is not None and best.best_epoch is None
    assert last.best_epoch.epoch == best.selected_epoch == 1 + accuracies.index(max(accuracies)) < 12
    assert last.best_epoch.validation_accuracy == max(accuracies)
    assert last.best_epoch.test == best.metrics["test"] != last.metrics["test"]
    model = models.build(resolve(config()).model, in_channels=3, classes=10, size=(8, 8), generator=torch.Generator())
    rarefy.load(model, tmp_path / "last" / last.id / "model.safetensors")  # the file is the last epoch's
    splits = data.load(resolve(config()).dataset, tmp_path, Streams(17)("split"))
    right = model.eval()(splits.spec.normalize(splits.test.images.float() / 255)).argmax(1) == splits.test.labels
    assert right.float().mean().item() == pytest.approx(last.metrics["test"]["accuracy"])


def test_a_finished_run_is_read_and_not_trained_again(tmp_path: Path) -> None:
    record = run(config(), out=tmp_path)
    assert run(config(), out=tmp_path, callbacks=[lambda event, state: pytest.fail("trained again")]) == record


def test_a_run_that_another_process_finished_meanwhile_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, first = data.load, []

    def load_while_another_trains(*args: Any, **options: Any) -> data.Splits:
        monkeypatch.setattr(data, "load", load)
        first.append(run(config(), out=tmp_path))
        return load(*args, **options)

    monkeypatch.setattr(data, "load", load_while_another_trains)
    assert run(config(), out=tmp_path, callbacks=[lambda event, state: pytest.fail("trained again")]) == first[0]


def test_another_config_is_another_folder(tmp_path: Path) -> None:
    ids = {run(config(seed=seed, training={"epochs": 1}), out=tmp_path).id for seed in (1, 2)}
    assert {path.name for path in tmp_path.iterdir()} == ids


def test_dense_is_a_run_like_any_other(tmp_path: Path) -> None:
    record = run(config(density=1.0, allocation="dense", training={"epochs": 1}), out=tmp_path)
    assert record.params.kept == record.params.total


@pytest.mark.parametrize("initialiser", ["model", "eoi"])
def test_stopped_between_two_steps_it_goes_on_to_the_same_bits(tmp_path: Path, initialiser: str) -> None:
    settings = config(initialiser=initialiser)
    whole = run(settings, out=tmp_path / "whole")
    steps: list[int] = []

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    with pytest.raises(Interrupted):
        run(settings, out=tmp_path / "stopped", callbacks=[count], should_stop=lambda: len(steps) == 5)
    assert len(steps) == 5
    record = run(settings, out=tmp_path / "stopped", callbacks=[count])
    assert len(steps) == 16  # none twice, none left out
    assert digest(tmp_path / "stopped" / record.id / "model.safetensors") == digest(
        tmp_path / "whole" / whole.id / "model.safetensors"
    )


@pytest.mark.parametrize("at", [(Event.STEP, 5), (Event.EPOCH, 8)], ids=["step", "epoch"])
def test_an_error_between_two_steps_leaves_a_state_that_goes_on_to_the_same_bits(tmp_path: Path, at: Any) -> None:
    whole = run(config(), out=tmp_path / "whole")
    steps: list[int] = []

    def fail(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])
        if (event, state.step) == at:
            raise ZeroDivisionError("of somebody's callback")

    with pytest.raises(ZeroDivisionError):
        run(config(), out=tmp_path / "failed", callbacks=[fail], checkpoint_seconds=3600)
    at = None
    record = run(config(), out=tmp_path / "failed", callbacks=[fail])
    assert steps == list(range(1, 17)), "none twice, none left out"
    assert digest(tmp_path / "failed" / record.id / "model.safetensors") == digest(
        tmp_path / "whole" / whole.id / "model.safetensors"
    )


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError("full")]
)
def test_without_memory_in_mid_step_the_last_checkpoint_is_named_and_kept(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the step left half done is not saved: the checkpoint before it is."""
    steps: list[int] = []

    def forward(*arguments: object, **options: object) -> Any:
        if len(steps) == 10:
            raise error
        return cross_entropy(*arguments, **options)

    def count(event: Event, state: State) -> None:
        steps.extend([state.step] if event is Event.STEP else [])

    cross_entropy = nn.functional.cross_entropy
    with monkeypatch.context() as patch, pytest.raises(OutOfMemory) as caught:
        patch.setattr(nn.functional, "cross_entropy", forward)
        run(config(), out=tmp_path, callbacks=[count], checkpoint_seconds=3600)
    assert caught.value.__cause__ is error
    assert "last.ckpt" in str(caught.value)
    run(config(), out=tmp_path, callbacks=[count])
    assert steps == [*range(1, 11), *range(9, 17)]


def test_the_same_run_cannot_be_trained_by_two(tmp_path: Path) -> None:
    def second(event: Event, state: State) -> None:
        if event is Event.STEP:
            with pytest.raises(RunError, match="another process"):
                run(config(), out=tmp_path)

    run(config(training={"epochs": 1, "batch_size": 256}), out=tmp_path / "other")

    def same(event: Event, state: State) -> None:
        if event is Event.EPOCH:
            with pytest.raises(RunError, match="another process"):
                run(config(), out=tmp_path)

    run(config(), out=tmp_path, callbacks=[same])


def test_a_lost_loss_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    def poison(event: Event, state: State) -> None:
        if event is Event.EPOCH:
            next(state.model.parameters()).data.fill_(float("nan"))

    with pytest.raises(RunError, match=r"The loss became .*last good checkpoint is .*last.ckpt \(1 epochs and 0"):
        run(config(), out=tmp_path, callbacks=[poison])
    (folder,) = tmp_path.iterdir()
    state = torch.load(folder / "last.ckpt", weights_only=True)["state"]
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert not (folder / "record.json").exists()


def test_the_test_split_is_read_at_the_end_and_validation_is_never_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = evaluation.evaluate

    def count(model: nn.Module, batches: Any, metrics: Any, **options: Any) -> Any:
        kept = list(batches)
        seen.append(sum(len(labels) for _, labels in kept))
        return original(model, kept, metrics, **options)

    monkeypatch.setattr(evaluation, "evaluate", count)
    run(config(data={**TINY, "test": 48}), out=tmp_path)
    # validation after each epoch, then the test split: with the last weights, then with the best epoch's (the first)
    assert seen == [64, 64, 48, 48]


def _start(tmp_path: Path) -> subprocess.Popen[bytes]:
    words = (
        "train --sparse --topology set --update-frequency 7 --density 0.2 --model mlp_24_16 --epochs 30 --batch-size 16"
    )
    sets = [f"--set=data.{name}={value}" for name, value in TINY.items() if name != "name"]
    command = [sys.executable, "-m", "rarefy", *words.split(), "--data", "synthetic", *sets, "--quiet"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "--checkpoint-seconds", "0.02", "--out", str(tmp_path)], env=env)


@pytest.mark.timeout(300)  # five processes, each of which imports torch
def test_killed_three_times_it_ends_with_the_same_file(tmp_path: Path) -> None:
    assert _start(tmp_path / "whole").wait(100) == 0
    killed = 0
    for wanted in (1, 2, 3):  # epochs done, at least, before each kill
        process = _start(tmp_path / "killed")
        while process.poll() is None and _epochs(tmp_path / "killed") < 4 * wanted:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        killed += process.wait(100) == -signal.SIGKILL
    assert killed == 3
    assert _start(tmp_path / "killed").wait(100) == 0
    (whole,), (other,) = (list((tmp_path / name).iterdir()) for name in ("whole", "killed"))
    assert whole.name == other.name
    assert digest(whole / "model.safetensors") == digest(other / "model.safetensors")


def _epochs(out: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in out.glob("*/history.jsonl"))


def test_densities_need_no_data() -> None:
    table = compute_densities(
        config(model="cifar_resnet_20", density=0.05, allocation="erk"), in_channels=3, classes=10, size=(32, 32)
    )
    assert sum(layer.kept for layer in table) == round(0.05 * 270_896)
    assert sum(layer.flops for layer in table) / 2 == pytest.approx(
        40.8e6, rel=0.01
    )  # 41M multiply-adds: He et al., 2016
