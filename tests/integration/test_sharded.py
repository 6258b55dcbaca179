"""``--shard``: the same run with its weights shared out, the same files, taken over by one process and back."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rarefy.config import Config
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.engines import Plan
from rarefy.paths import RunPaths
from rarefy.pipeline import RunError, resolve, run
from rarefy.training import Interrupted

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]
DATA = {"name": "synthetic", "height": 8, "width": 8, "train": 50, "validation": 70, "test": 300}  # 1 and 3 batches


def config(**values: Any) -> Config:
    training = {"epochs": 2, "batch_size": 16, "lr": 0.02, "sync_norms": True} | values.pop("training", {})
    chosen = {"data": DATA, "model": "cifar_resnet_8_4", "engine": "masked", "density": 0.3}
    return Config.from_values({**chosen, "topology": {"name": "set", "interval": 3}, "training": training, **values})


def ran(out: Path, world: World, *, shard: bool = True, stop_after: int | None = None) -> Any:
    steps: list[int] = []

    def should_stop() -> bool:
        steps.append(1)
        return len(steps) == stop_after

    try:
        return run(config(), out=out, world=world, shard=shard, should_stop=should_stop, checkpoint_seconds=0)
    except Interrupted:
        return None


def alike(found: Any, wanted: Any) -> None:
    assert (found.id, found.masks, found.layers) == (wanted.id, wanted.masks, wanted.layers)
    for row, other in zip(found.history, wanted.history, strict=True):
        assert (row.train_loss, row.validation_loss) == pytest.approx(
            (other.train_loss, other.validation_loss), rel=1e-3
        )
    assert found.metrics["test"]["loss"] == pytest.approx(wanted.metrics["test"]["loss"], rel=1e-3)


def test_the_run_is_that_of_one_process_and_passes_between_them(on_ranks: OnRanks, tmp_path: Path) -> None:
    pytest.importorskip("torch.distributed.fsdp")
    two, moved, back = tmp_path / "two", tmp_path / "moved", tmp_path / "back"
    alone = ran(tmp_path / "one", SINGLE_PROCESS)
    assert ran(back, SINGLE_PROCESS, stop_after=5) is None

    def act(world: World) -> Any:
        return ran(two, world), ran(moved, world, stop_after=5), ran(back, world)

    first, second = on_ranks(2, act)
    for record, stopped, taken_over in (first, second):
        assert stopped is None
        alike(record, alone)
        alike(taken_over, alone)
    alike(ran(moved, SINGLE_PROCESS), alone)
    assert record.environment["sharded"] is True
    folders = [out / alone.id for out in (two, tmp_path / "one")]
    assert {path.name for path in folders[0].iterdir()} == {path.name for path in folders[1].iterdir()}
    assert record.files["model.safetensors"] == (folders[0] / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"engine": "cpu"}, "--engine cpu has none. Use --engine masked"),
        ({"training": {"diagnostics": True}}, "--diagnostics needs a copy"),
        ({"training": {"compile": True}}, "--compile does not work with --shard"),
    ],
)
def test_what_cannot_be_had_is_refused_before_data_is_read(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        run(config(**values), out=tmp_path, data_dir=tmp_path / "nowhere", shard=True)
    assert not list(tmp_path.iterdir())


def test_one_process_keeps_all_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "rarefy"):
        record = run(config(model="mlp_8", training={"epochs": 1}), out=tmp_path, shard=True)
    assert "--shard has no effect: there is one process" in caplog.text
    assert record.environment["sharded"] is False


@pytest.mark.slow
@pytest.mark.kernels
def test_a_run_begun_with_kept_values_only_is_not_shared_out(on_ranks: OnRanks, tmp_path: Path) -> None:
    chosen = config(model="mlp_8", topology="static", engine="auto")
    paths = RunPaths(tmp_path / resolve(chosen).id)
    paths.folder.mkdir()
    layers = {"fc1.weight": "sparse", "fc2.weight": "dense"}
    paths.engine.write_text(json.dumps({"plan": dataclasses.asdict(Plan("auto", layers))}))
    for error in on_ranks(2, lambda world: run(chosen, out=tmp_path, world=world, shard=True)):
        assert "begun with 1 layers that store kept values only" in str(error)
