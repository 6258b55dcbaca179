"""Measures images per second of training on several processes, dense and sparse, against one process alone."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rarefy import data, training
from rarefy.config import Config, MethodConfig
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.errors import InvalidInput
from rarefy.pipeline import ResolvedConfig, build_model, draw_sparsity, install_engine, resolve, split_batches
from rarefy.rng import Streams

_WARM_UP_STEPS = 3  # untimed steps, for what happens only once
_MIN_STEPS = 3  # steps of a measurement, however long they take
_Progress = Callable[[str, float], None]
_Name = tuple[str, bool]  # what is trained, and whether rank 0 trains alone


@dataclasses.dataclass(frozen=True)
class ScalingResult:
    """Training speed on a number of processes; medians over interleaved rounds.

    Args:
        ranks: Number of processes.
        what: ``"dense"`` (no masks), or the engine's name.
        images_per_second: Images per second of all processes together.
        alone: Images per second of rank 0 alone, with the same local batch.
        efficiency: Weak scaling: time of a step alone / time of a step with the others; 1 is perfect.
        waiting: Fraction of the time that the process that waits longest waits for data: on a CPU while a batch is
            requested, on a GPU from the end of one step's work to the start of the next.
        against_dense: Images per second / those of dense, round by round.
        speedup: Strong scaling: images per second / those of the fewest processes, at the same batch; None if unknown.
        rounds: Images per second in each round.

    Example:
        >>> ScalingResult(2, "masked", 900.0, 500.0, 0.9, 0.01, 1.0, 1.0, (900.0,)).efficiency
        0.9
    """

    ranks: int
    what: str
    images_per_second: float
    alone: float
    efficiency: float
    waiting: float
    against_dense: float
    speedup: float | None
    rounds: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class _Measurement:
    """Seconds per step, and the fraction of them spent waiting for data."""

    seconds: float
    waiting: float


_Acts = dict[_Name, Callable[[int], _Measurement]]  # measure so many steps


class _Clock:
    """Time stamps of a device: on a GPU events in its stream, which do not block a step."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"

    def mark(self) -> Any:
        """Takes a time stamp; on a GPU, of when all queued work is done."""
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Computes the seconds between two time stamps; on a GPU, waits for the second."""
        if not self._on_gpu:
            return float(end - start)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3


class _BatchFeed:
    """Endless batches of this process, with the time spent waiting for each.

    All trainers share one feed, so that none profits from batches decoded ahead while another trained.
    """

    def __init__(self, batches: data.Batches, clock: _Clock) -> None:
        self.clock = clock
        self.waits: list[tuple[Any, Any]] = []
        self._pairs = self._repeat_epochs(batches)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Returns the next images and labels."""
        start = self.clock.mark()
        pair = next(self._pairs)
        self.waits.append((start, self.clock.mark()))
        return pair

    @staticmethod
    def _repeat_epochs(batches: data.Batches) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = 0
        while True:
            yield from batches.epoch(epoch)
            epoch += 1


@dataclasses.dataclass(frozen=True)
class _Trainer:
    """A started training, whose steps are those of `rarefy.training.train`."""

    state: training.State
    forward: nn.Module
    seed: int

    def step(self, feed: _BatchFeed, images: int) -> None:
        """Makes one step with a global batch of so many images, and asks the ranks whether to stop, as training."""
        inputs, targets = feed()
        training.train_step(self.forward, self.state, inputs, targets, images=images, seed=self.seed)
        self.state.world.any_rank(False)


def measure_scaling(
    config: Config,
    *,
    data_dir: Path = Path("data"),
    workers: int | None = None,
    rounds: int = 7,
    seconds: float = 1.0,
    world: World = SINGLE_PROCESS,
    progress: _Progress = lambda what, share: None,
) -> tuple[ScalingResult, ...]:
    """Measures training on all processes and on rank 0 alone, sparse and dense, interleaved.

    Every step is that of the training loop, with its data, gradient reduction and masks; the learning rate is tiny.

    Args:
        config: The config to train, with the global batch; a dense one is measured dense only.
        data_dir: Folder of the data sets.
        workers: Processes per rank that decode images; None: as `rarefy.data.load` chooses.
        rounds: Number of rounds; results are medians.
        seconds: Approximate time of each measurement in a round.
        world: The processes; all call this with the same arguments.
        progress: Called on rank 0 with what is being measured and the fraction done.

    Returns:
        Results, dense first, the same on every rank.

    Raises:
        ValueError: If the config or the data cannot be used, or rounds or seconds are not positive.

    Example:
        >>> config = Config.from_values({"data": {"name": "synthetic", "height": 4, "width": 4, "train": 64},
        ...     "model": "mlp_8", "engine": "masked", "training": {"batch_size": 16}})
        >>> [speed.what for speed in measure_scaling(config, rounds=1, seconds=0.01)]
        ['dense', 'masked']
    """
    if rounds < 1 or not 0 < seconds < math.inf:
        raise InvalidInput(f"Rounds have to be at least 1 and seconds more than 0; got {rounds} and {seconds}.")
    variants = _resolve_variants(config)
    first = next(iter(variants.values()))
    splits = data.load(first.dataset, data_dir, Streams(config.seed)("split"), workers=workers).to(first.device)
    batches = split_batches(first, splits, Streams(config.seed), world, drop_last=True)
    feed, report = _BatchFeed(batches, _Clock(first.device)), progress if world.is_rank0 else lambda what, share: None
    with contextlib.ExitStack() as stack:
        acts: _Acts = {}
        for what, resolved in variants.items():
            report(f"preparing {what}", 0.0)
            acts[what, False] = _measure_all_ranks(
                _start_trainer(stack, resolved, splits, batches, world), feed, batches.size(0)
            )
            if world.ranks > 1:
                acts[what, True] = _measure_rank0(stack, resolved, splits, batches, world, feed)
        found = _interleave(acts, rounds, seconds, world, report)
    report("done", 1.0)
    return tuple(_summarize(what, found, batches.size(0), world) for what in variants)


def _resolve_variants(config: Config) -> dict[str, ResolvedConfig]:
    """Resolves the dense and, unless the config is dense, the sparse variant, at a tiny learning rate."""
    overrides = {"lr": 1e-6, "warmup_epochs": 0.0, "schedule": MethodConfig(name="constant")}
    config = config.model_copy(update={"training": config.training.model_copy(update=overrides)})
    dense = config.dense().model_copy(update={"engine": MethodConfig(name="masked")})
    sparse = resolve(config)
    found = {"dense": resolve(dense)}
    return found if config.dense() == config else found | {sparse.config.engine.name: sparse}


def _start_trainer(
    stack: contextlib.ExitStack, resolved: ResolvedConfig, splits: data.Splits, batches: data.Batches, world: World
) -> _Trainer:
    """Starts a training that ends when `stack` closes."""
    streams, seed = Streams(resolved.config.seed), resolved.config.seed
    model = build_model(resolved, splits.spec, streams, world)
    sparsity = draw_sparsity(model, resolved, splits, streams)
    install_engine(model, sparsity, resolved, batches, world)
    context = training.training_context(
        model, sparsity, resolved.training, seed=seed, steps_per_epoch=len(batches), world=world
    )
    state, forward = stack.enter_context(context)
    model.train()
    return _Trainer(state, forward, seed)


def _measure_all_ranks(trainer: _Trainer, feed: _BatchFeed, images: int) -> Callable[[int], _Measurement]:
    world = trainer.state.world

    def act(steps: int) -> _Measurement:
        own = _time_steps(trainer, feed, images, steps)
        slowest = world.all_gather(torch.tensor([[own.seconds, own.waiting]], dtype=torch.float64)).amax(0)
        return _Measurement(*slowest.tolist())

    return act


def _measure_rank0(
    stack: contextlib.ExitStack,
    resolved: ResolvedConfig,
    splits: data.Splits,
    batches: data.Batches,
    world: World,
    feed: _BatchFeed,
) -> Callable[[int], _Measurement]:
    """Measures rank 0 alone, with its own part of the same batches, while the others wait."""
    trainers = [_start_trainer(stack, resolved, splits, batches, SINGLE_PROCESS)] if world.is_rank0 else []
    images = len(world.local_range(batches.size(0)))

    def act(steps: int) -> _Measurement:
        return world.on_rank0(lambda: _time_steps(trainers[0], feed, images, steps))

    return act


def _time_steps(trainer: _Trainer, feed: _BatchFeed, images: int, steps: int) -> _Measurement:
    """Times so many steps, after one that does not count."""
    trainer.step(feed, images)
    feed.waits.clear()
    start = feed.clock.mark()
    for _ in range(steps):
        trainer.step(feed, images)
    seconds = feed.clock.seconds(start, feed.clock.mark())
    return _Measurement(seconds / steps, sum(feed.clock.seconds(*wait) for wait in feed.waits) / seconds)


def _interleave(
    acts: _Acts, rounds: int, seconds: float, world: World, report: _Progress
) -> dict[_Name, list[_Measurement]]:
    """Measures each once per round, in alternating order, all with the same number of steps."""
    for act in acts.values():
        act(_WARM_UP_STEPS)
    dense = acts["dense", False](_MIN_STEPS)
    steps = max(_MIN_STEPS, math.ceil(seconds / dense.seconds))  # the same on all ranks, because the seconds are
    found: dict[_Name, list[_Measurement]] = {name: [] for name in acts}
    for turn in range(rounds):
        for number, (what, alone) in enumerate(acts if turn % 2 else reversed(acts)):
            ranks = "1 process alone" if alone else f"{world.ranks} process(es)"
            report(f"{ranks}, {what}, round {turn + 1} of {rounds}", (turn + number / len(acts)) / rounds)
            found[what, alone].append(acts[what, alone](steps))
    return found


def _summarize(what: str, found: dict[_Name, list[_Measurement]], images: int, world: World) -> ScalingResult:
    together = [window.seconds for window in found[what, False]]
    alone = [window.seconds for window in found.get((what, True), found[what, False])]
    dense = [window.seconds for window in found["dense", False]]
    return ScalingResult(
        ranks=world.ranks,
        what=what,
        images_per_second=images / statistics.median(together),
        alone=len(World(0, world.ranks).local_range(images)) / statistics.median(alone),
        efficiency=_median_ratio(alone, together),
        waiting=statistics.median(window.waiting for window in found[what, False]),
        against_dense=_median_ratio(dense, together),
        speedup=None,
        rounds=tuple(images / seconds for seconds in together),
    )


def _median_ratio(above: list[float], below: list[float]) -> float:
    """Computes the median of the ratios of the rounds."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))
