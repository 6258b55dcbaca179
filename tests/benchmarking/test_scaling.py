"""Training timed on several processes: against waits that are put there, and numbers that have to agree."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist

from rarefy import data, training
from rarefy.benchmarking import ScalingResult, check_ranks, measure_scaling, spawn_ranks
from rarefy.config import Config
from rarefy.distributed import World
from rarefy.pipeline import RunError

OnRanks = Callable[[int, Callable[[World], Any]], list[Any]]


def config(**values: Any) -> Config:
    tiny = {"name": "synthetic", "height": 4, "width": 4, "train": 64, "validation": 8, "test": 8}
    sparse = {"data": tiny, "model": "mlp_8", "density": 0.2, "engine": "masked", "device": "cpu"}
    return Config.from_values(sparse | {"training": {"batch_size": 16}} | values)


def fail_on_rank_1(world: World, error: Exception) -> None:
    """Raises the error on rank 1; rank 0 waits for it in an all-reduce."""
    if world.rank == 1:
        raise error
    world.any_rank(False)


@contextlib.contextmanager
def another_time(*, data_takes: float, step: float, masks: float, exchange: float) -> Iterator[None]:
    """A clock that knows only these: seconds for a batch, for a step, for masks in it, and for ranks to agree."""
    now = [0.0]
    read, stepped, asks = data.Batches.epoch, training.train_step, World.any_rank

    def slow_read(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for pair in read(self, *args, **kwargs):
            now[0] += data_takes
            yield pair

    def slow_step(forward: Any, state: Any, inputs: Any, targets: Any, *, images: int, seed: int) -> None:
        assert images == len(inputs) or state.world.ranks > 1  # who is alone has the step's images to itself
        now[0] += step + masks * (state.sparsity.density < 1)
        stepped(forward, state, inputs, targets, images=images, seed=seed)

    def slow_any(self: World, flag: bool) -> bool:
        now[0] += exchange * (self.ranks > 1)
        return asks(self, flag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rarefy.benchmarking._scaling.time", types.SimpleNamespace(perf_counter=lambda: now[0]))
        patch.setattr(data.Batches, "epoch", slow_read)
        patch.setattr(training, "train_step", slow_step)
        patch.setattr(World, "any_rank", slow_any)
        yield


def test_one_process_waits_for_its_data() -> None:
    with another_time(data_takes=0.25, step=0.75, masks=0.25, exchange=100):
        found = measure_scaling(config(), rounds=2)
    assert found == (
        ScalingResult(1, "dense", 16.0, 16.0, 1.0, 0.25, 1.0, None, (16.0, 16.0)),
        ScalingResult(1, "masked", 16 / 1.25, 16 / 1.25, 1.0, 0.2, 0.8, None, (16 / 1.25, 16 / 1.25)),
    )


def test_every_step_is_the_training_loops_own_and_masks_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, float]] = []
    step = training.train_step

    def seen(forward: Any, state: Any, *args: Any, **kwargs: Any) -> None:
        step(forward, state, *args, **kwargs)
        zeros = sum(int((weight == 0).sum()) for weight in state.sparsity.weights().values())
        taken.append((f"{state.sparsity.density:.2f}", zeros / state.sparsity.total))

    monkeypatch.setattr(training, "train_step", seen)
    measure_scaling(config(), rounds=2, seconds=1e-9)
    kinds = [kind for kind, _ in taken]
    # warm-up (3), the two rounds (3 each), all with one more that does not count; dense once more to be measured
    assert kinds.count("0.20") == 4 + 2 * 4
    assert kinds.count("1.00") == 4 + 4 + 2 * 4
    assert all(share == pytest.approx(0.8, abs=0.01) for kind, share in taken if kind == "0.20")
    assert all(share < 0.01 for kind, share in taken if kind == "1.00")


def test_a_dense_config_is_measured_dense() -> None:
    assert [speed.what for speed in measure_scaling(config().dense(), rounds=1, seconds=0.01)] == ["dense"]


def odd_share(world: World) -> tuple[ScalingResult, ...]:
    values = config(training={"batch_size": 17, "sync_norms": True, "accumulate": 2})
    with another_time(data_takes=0.25, step=0.75 + 0.25 * world.rank, masks=0.5, exchange=0.75):
        return measure_scaling(values, rounds=1, seconds=2, world=world)


def test_two_ranks_against_one_alone(on_ranks: OnRanks) -> None:
    first, second = on_ranks(2, odd_share)
    assert first == second
    # The slower rank: 0.25 + 1.0 (+ 0.5) + 0.75 s for 17 images; the first alone: 0.25 + 0.75 (+ 0.5) s for 9.
    # The first one waits for data longest in its own time: 0.25 of 1.75 (2.25) s.
    dense, masked = (
        ScalingResult(
            2, what, 17 / together, 9 / alone, alone / together, 0.25 / own, 2 / together, None, (17 / together,)
        )
        for what, together, alone, own in (("dense", 2.0, 1.0, 1.75), ("masked", 2.5, 1.5, 2.25))
    )
    assert first == (dense, masked)


@pytest.mark.parametrize("given", [{"rounds": 0}, {"seconds": 0.0}, {"seconds": float("inf")}], ids=str)
def test_nothing_measures_nothing(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Rounds have to be at least 1 and seconds more than 0"):
        measure_scaling(config(), **given)


def test_more_processes_than_gpus_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_ranks(2, torch.device("cuda"))
    with pytest.raises(RunError, match=r"4 processes need 4 GPUs, one each; this machine has 2\. .*torchrun"):
        check_ranks(4, torch.device("cuda"))
    monkeypatch.setattr(dist, "is_available", lambda: False)
    with pytest.raises(RunError, match=r"built without torch\.distributed"):
        check_ranks(1, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo")
def test_processes_are_started_and_joined() -> None:
    assert spawn_ranks(2, torch.device("cpu"), World.any_rank, True)
    assert spawn_ranks(2, torch.device("cpu"), World.local_range, 5) == range(3)  # the first one's


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo")
@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (RunError("Rank 1 has no data."), RunError, r"^Rank 1 has no data\.$"),
        (
            ZeroDivisionError("division by zero"),
            RuntimeError,
            r"(?s)^The process of rank 1 of 2 failed: .*division by zero",
        ),
    ],
    ids=["a mistake is a sentence", "an unexpected error names the rank"],
)
def test_an_error_in_a_process(error: Exception, raised: type[Exception], told: str) -> None:
    with pytest.raises(raised, match=told):
        spawn_ranks(2, torch.device("cpu"), fail_on_rank_1, error)


@pytest.mark.gpu
def test_on_a_gpu_the_same() -> None:
    found = measure_scaling(config(device="cuda"), rounds=2, seconds=0.05)
    assert [speed.what for speed in found] == ["dense", "masked"]
    assert all(0 <= speed.waiting < 1 for speed in found)
