"""Images per second of a run's training on several processes, dense and sparse, beside one process alone."""

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
from rarefy.config import Choice, Config
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.errors import InvalidInput
from rarefy.pipeline import ResolvedConfig, build_model, draw_sparsity, install_engine, resolve, split_batches
from rarefy.rng import Streams

_WARM_UP = 3  # steps in which things happen that happen but once
_AT_LEAST = 3  # steps of a window, however long they take
_Progress = Callable[[str, float], None]
_Name = tuple[str, bool]  # what, and whether the first process trains alone


@dataclasses.dataclass(frozen=True)
class ScalingResult:
    """How fast one way of training is on one number of processes; medians over rounds in which all take turns.

    Args:
        ranks: Processes.
        what: ``"dense"`` (no masks), or the engine's name.
        images_per_second: Of all processes together.
        alone: Images per second of the first process alone, with as many images a step as it has among the others.
        efficiency: Weak scaling, the time of a step alone / its time among the others; 1 is perfect.
        waiting: Share of the time that the process that waits most for data waits for them: on a CPU while a batch is
            asked for, on a GPU from the end of a step's work to the beginning of the next one's.
        against_dense: Images per second / those of dense, round by round.
        speedup: Strong scaling: images per second / those of the fewest processes, at the same batch; None: not known.
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
class _Window:
    """Seconds of a step, and the share of them that was spent waiting for data."""

    seconds: float
    waiting: float


_Acts = dict[_Name, Callable[[int], _Window]]  # give a window of so many steps


class _Clock:
    """Moments of a device: on a GPU events in its queue, which no step waits for."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"

    def mark(self) -> Any:
        """Now; on a GPU: when all that was asked of it is done."""
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        """Between two moments; waits for the second one."""
        if not self._on_gpu:
            return float(end - start)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3


class _Feed:
    """This process's part of one batch after the other, over all epochs, and how long they were waited for.

    One feed serves all contenders, so that none finds more decoded ahead for it than the one before has left.
    """

    def __init__(self, batches: data.Batches, clock: _Clock) -> None:
        self.clock = clock
        self.waits: list[tuple[Any, Any]] = []
        self._pairs = self._endless(batches)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """The next images and labels."""
        asked = self.clock.mark()
        pair = next(self._pairs)
        self.waits.append((asked, self.clock.mark()))
        return pair

    @staticmethod
    def _endless(batches: data.Batches) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = 0
        while True:
            yield from batches.epoch(epoch)
            epoch += 1


@dataclasses.dataclass(frozen=True)
class _Contender:
    """A training that has begun: the whole step, as `rarefy.training.train` makes it."""

    state: training.State
    forward: nn.Module
    seed: int

    def step(self, feed: _Feed, images: int) -> None:
        """A step of so many images of all its processes, and the question whether one was told to stop."""
        inputs, targets = feed()
        training.step(self.forward, self.state, inputs, targets, images=images, seed=self.seed)
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
    """Measures training on all of these processes and on the first of them alone, sparse and dense, in turns.

    Every step is the training loop's own, with its data, its exchange of gradients and its masks; weights barely move.

    Args:
        config: What would be trained. The batch is that of all processes; one that is dense is measured dense only.
        data_dir: Where data sets are looked for.
        workers: Processes that decode images, a rank; None: as `rarefy.data.load` chooses.
        rounds: Rounds; medians count.
        seconds: How long each way of training is measured in a round, about.
        world: The processes; each calls this alike.
        progress: Called on the first rank with what is being measured and the share that is done.

    Returns:
        Dense first, the same on every rank.

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
    plans = _plans(config)
    first = next(iter(plans.values()))
    splits = data.load(first.dataset, data_dir, Streams(config.seed)("split"), workers=workers).to(first.device)
    batches = split_batches(first, splits, Streams(config.seed), world, drop_last=True)
    feed, told = _Feed(batches, _Clock(first.device)), progress if world.is_rank0 else lambda what, share: None
    with contextlib.ExitStack() as place:
        acts: _Acts = {}
        for what, resolved in plans.items():
            told(f"{what} is made ready", 0.0)
            acts[what, False] = _together(_contender(place, resolved, splits, batches, world), feed, batches.size(0))
            if world.ranks > 1:
                acts[what, True] = _alone(place, resolved, splits, batches, world, feed)
        found = _take_turns(acts, rounds, seconds, world, told)
    told("done", 1.0)
    return tuple(_speed(what, found, batches.size(0), world) for what in plans)


def _plans(config: Config) -> dict[str, ResolvedConfig]:
    """Dense and, unless that is what the config says, sparse; with a learning rate at which nothing can diverge."""
    calm = {"lr": 1e-6, "warmup_epochs": 0.0, "schedule": Choice(name="constant")}
    config = config.model_copy(update={"training": config.training.model_copy(update=calm)})
    dense = config.dense().model_copy(update={"engine": Choice(name="masked")})
    sparse = resolve(config)
    found = {"dense": resolve(dense)}
    return found if config.dense() == config else found | {sparse.config.engine.name: sparse}


def _contender(
    place: contextlib.ExitStack, resolved: ResolvedConfig, splits: data.Splits, batches: data.Batches, world: World
) -> _Contender:
    """A training that begins now and ends with `place`."""
    streams, seed = Streams(resolved.config.seed), resolved.config.seed
    model = build_model(resolved, splits.spec, streams, world)
    sparsity = draw_sparsity(model, resolved, splits, streams)
    install_engine(model, sparsity, resolved, batches, world)
    begun = training.begun(model, sparsity, resolved.training, seed=seed, steps_per_epoch=len(batches), world=world)
    state, forward = place.enter_context(begun)
    model.train()
    return _Contender(state, forward, seed)


def _together(contender: _Contender, feed: _Feed, images: int) -> Callable[[int], _Window]:
    world = contender.state.world

    def act(steps: int) -> _Window:
        own = _window(contender, feed, images, steps)
        slowest = world.all_gather(torch.tensor([[own.seconds, own.waiting]], dtype=torch.float64)).amax(0)
        return _Window(*slowest.tolist())

    return act


def _alone(
    place: contextlib.ExitStack,
    resolved: ResolvedConfig,
    splits: data.Splits,
    batches: data.Batches,
    world: World,
    feed: _Feed,
) -> Callable[[int], _Window]:
    """The first rank alone, with its own part of the same batches, while the others wait."""
    made = [_contender(place, resolved, splits, batches, SINGLE_PROCESS)] if world.is_rank0 else []
    images = len(world.local_range(batches.size(0)))

    def act(steps: int) -> _Window:
        return world.on_rank0(lambda: _window(made[0], feed, images, steps))

    return act


def _window(contender: _Contender, feed: _Feed, images: int, steps: int) -> _Window:
    """So many steps; one before them does not count."""
    contender.step(feed, images)
    feed.waits.clear()
    start = feed.clock.mark()
    for _ in range(steps):
        contender.step(feed, images)
    seconds = feed.clock.seconds(start, feed.clock.mark())
    return _Window(seconds / steps, sum(feed.clock.seconds(*wait) for wait in feed.waits) / seconds)


def _take_turns(acts: _Acts, rounds: int, seconds: float, world: World, told: _Progress) -> dict[_Name, list[_Window]]:
    """A window of each in every round, every other round backwards; all have as many steps."""
    for act in acts.values():
        act(_WARM_UP)
    dense = acts["dense", False](_AT_LEAST)
    steps = max(_AT_LEAST, math.ceil(seconds / dense.seconds))  # the same on all ranks: so are the seconds
    found: dict[_Name, list[_Window]] = {name: [] for name in acts}
    for turn in range(rounds):
        for number, (what, alone) in enumerate(acts if turn % 2 else reversed(acts)):
            who = "1 process alone" if alone else f"{world.ranks} process(es)"
            told(f"{who}, {what}, round {turn + 1} of {rounds}", (turn + number / len(acts)) / rounds)
            found[what, alone].append(acts[what, alone](steps))
    return found


def _speed(what: str, found: dict[_Name, list[_Window]], images: int, world: World) -> ScalingResult:
    together = [window.seconds for window in found[what, False]]
    alone = [window.seconds for window in found.get((what, True), found[what, False])]
    dense = [window.seconds for window in found["dense", False]]
    return ScalingResult(
        ranks=world.ranks,
        what=what,
        images_per_second=images / statistics.median(together),
        alone=len(World(0, world.ranks).local_range(images)) / statistics.median(alone),
        efficiency=_ratio(alone, together),
        waiting=statistics.median(window.waiting for window in found[what, False]),
        against_dense=_ratio(dense, together),
        speedup=None,
        rounds=tuple(images / seconds for seconds in together),
    )


def _ratio(above: list[float], below: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))
