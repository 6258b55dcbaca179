"""Times engines and dense PyTorch side by side: what `rarefy bench` measures."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rarefy import engines, evaluation
from rarefy.benchmarking._memory import measure_peak_memory
from rarefy.benchmarking._training_copy import make_training_copy, set_memory_format
from rarefy.errors import InvalidInput
from rarefy.sparsity import Sparsity, ValueStorageLayer

BATCHES = (1, 128, 256)
CONTENDERS = ("masked", "cpu")
_CHANNELS_LAST = "channels last"
DENSE = ("dense", _CHANNELS_LAST)
_PEAK_SIZE = 1024  # rows and columns of the matrices whose product measures the peak
_TIMES_FORWARD = {"training": 3, "inference": 1}  # a backward pass computes two products, the forward pass one


@dataclasses.dataclass(frozen=True)
class EngineTiming:
    """Time of one engine for one task.

    Args:
        what: ``"training"`` (forward, loss, backward, SGD with momentum) or ``"inference"``.
        batch: Number of images.
        engine: ``"dense"`` (no masks; the faster memory layout), ``"masked"`` or another engine. For inference, other
            engines are timed as compiled by `rarefy.compile_inference`.
        milliseconds: Median over interleaved rounds.
        speedup: Time of dense / this time.
        peak_bytes: Peak memory of the model, its optimizer and a step; None if unknown.
        limit_share: FLOPs of the needed weights (all for dense, otherwise those kept) per second / the machine's peak.

    Example:
        >>> EngineTiming("inference", 128, "cpu", 2.0, 1.5, None, 0.25).engine
        'cpu'
    """

    what: str
    batch: int
    engine: str
    milliseconds: float
    speedup: float
    peak_bytes: int | None
    limit_share: float


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """Result of `bench`.

    Args:
        machine: Name of the processor.
        threads: Threads of torch and of the kernels.
        gigaflops: Peak rate: the highest that dense float32 products and convolutions reached.
        compile_seconds: Time to compile or load the kernels; not part of the timings.
        total: Number of prunable weights.
        kept: Number of kept weights.
        weight_bytes: Bytes of parameters, gradients, momentum and patterns in training, by engine.
        layers: How the last engine computes each layer, by name.
        timings: The measurements.

    Example:
        >>> result = BenchResult("a machine", 1, 100.0, 0.0, 64, 8, {"cpu": 128}, {"weight": "sparse"}, ())
        >>> result.kept / result.total
        0.125
    """

    machine: str
    threads: int
    gigaflops: float
    compile_seconds: float
    total: int
    kept: int
    weight_bytes: dict[str, int]
    layers: dict[str, str]
    timings: tuple[EngineTiming, ...]


@dataclasses.dataclass
class _Candidate:
    """A model prepared for one engine; `act` is timed, `repeat` prepares and runs another one like it."""

    model: nn.Module
    act: Callable[[], None]
    repeat: Callable[[], None]
    optimizer: torch.optim.Optimizer | None = None
    layers: dict[str, str] = dataclasses.field(default_factory=dict)


def bench(
    model: nn.Module,
    sparsity: Sparsity,
    shape: tuple[int, int, int],
    *,
    batches: Sequence[int] = BATCHES,
    contenders: Sequence[str] = CONTENDERS,
    rounds: int = 7,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> BenchResult:
    """Times training steps and predictions of a sparse network with several engines and dense, interleaved.

    Args:
        model: A sparse network on the CPU; it is not changed.
        sparsity: Its sparsity.
        shape: Shape of an image, ``(C, H, W)``.
        batches: Batch sizes. Training is skipped for 1, because batch norm needs more.
        contenders: Names of the engines.
        rounds: Rounds of each comparison.
        progress: Called with what is being measured and the fraction done.

    Raises:
        KernelsMissing: If an engine needs numba and it cannot be imported.
        ValueError: If a batch size or the rounds are not positive.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> result = bench(model, rarefy.sparsify(model, density=0.1), (3, 4, 4), batches=[4], rounds=1)
        >>> [(timing.what, timing.engine) for timing in result.timings][:3]
        [('training', 'dense'), ('training', 'masked'), ('training', 'cpu')]
    """
    if rounds < 1 or min(batches, default=0) < 1:
        raise InvalidInput(f"Batches and rounds have to be at least 1; got {list(batches)} and {rounds}.")
    if "cpu" in contenders:
        engines.require_numba()
    seconds, limit = engines.get_compile_seconds(), _measure_gigaflops()
    work = [(what, batch) for what in _TIMES_FORWARD for batch in batches if what == "inference" or batch > 1]
    rows: list[_Comparison] = []
    for number, (what, batch) in enumerate(work):
        progress(f"{what}, batch {batch}", number / len(work))
        images = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
        rows.append(
            _time_candidates(_prepare_candidates(model, sparsity, what, images, contenders), what, batch, rounds)
        )
    progress("done", 1.0)
    flops = evaluation.count_layer_flops(model, sparsity.weights(), shape)
    kept = sum(flops[layer.name] * layer.density for layer in sparsity.layers())
    limit = max(limit, _measure_gigaflops())  # another process may have slowed the first measurement
    return BenchResult(
        machine=engines.describe_machine(),
        threads=torch.get_num_threads(),
        gigaflops=limit,
        compile_seconds=engines.get_compile_seconds() - seconds,
        total=sparsity.total,
        kept=sparsity.kept,
        weight_bytes=next((row.weight_bytes for row in rows if row.weight_bytes), {}),
        layers=next((row.layers for row in rows if row.layers), {}),
        timings=tuple(_iterate_timings(rows, {"dense": sum(flops.values()), **dict.fromkeys(contenders, kept)}, limit)),
    )


@dataclasses.dataclass
class _Comparison:
    """Times and memory of all engines for one task, by name."""

    what: str
    batch: int
    times: dict[str, float]
    peaks: dict[str, int | None]
    weight_bytes: dict[str, int]
    layers: dict[str, str]


def _time_candidates(
    ready: tuple[dict[str, _Candidate], dict[str, int | None]], what: str, batch: int, rounds: int
) -> _Comparison:
    contenders, peaks = ready
    times = engines.time_interleaved({name: one.act for name, one in contenders.items()}, rounds=rounds)
    times["dense"] = min(times["dense"], times.pop("channels last"))
    held = {name: _count_weight_bytes(one) for name, one in contenders.items() if one.optimizer and name in times}
    return _Comparison(what, batch, times, peaks, held, contenders[next(reversed(contenders))].layers)


def _iterate_timings(rows: Sequence[_Comparison], flops: dict[str, float], limit: float) -> Iterator[EngineTiming]:
    """Yields timings; `flops` are those of the forward pass of one image, by engine."""
    for row in rows:
        for name, milliseconds in row.times.items():
            share = _TIMES_FORWARD[row.what] * row.batch * flops[name] / (1e6 * milliseconds * limit)
            speedup = row.times["dense"] / milliseconds
            yield EngineTiming(row.what, row.batch, name, milliseconds, speedup, row.peaks[name], share)


def _prepare_candidates(
    model: nn.Module, sparsity: Sparsity, what: str, images: Tensor, names: Sequence[str]
) -> tuple[dict[str, _Candidate], dict[str, int | None]]:
    """Prepares all engines, and measures the memory that each needs from creation to the end of a step.

    The first instance of each does what happens only once (compiling, importing, reserving) and is timed later; the
    memory is that of a second instance.
    """
    candidates: dict[str, _Candidate] = {}
    peaks: dict[str, int | None] = {}
    build = prepare_training if what == "training" else prepare_inference
    for name in (*DENSE, *names):
        candidates[name] = build(model, sparsity, name, images)
        candidates[name].act()
        engines.free_buffers()
        peaks[name] = measure_peak_memory(candidates[name].repeat)
    return candidates, peaks


def prepare_training(model: nn.Module, sparsity: Sparsity, name: str, images: Tensor) -> _Candidate:
    engine, channels_last = None if name in DENSE else name, name == _CHANNELS_LAST
    copied = make_training_copy(model, sparsity, engine, images, channels_last=channels_last)

    def repeat() -> None:
        prepare_training(model, sparsity, name, images).act()

    return _Candidate(copied.model, copied.step, repeat, copied.optimizer, copied.layers)


def prepare_inference(model: nn.Module, sparsity: Sparsity, name: str, images: Tensor) -> _Candidate:
    compiled = name not in (*DENSE, "masked")
    copied_model = engines.compile_inference(model, images) if compiled else copy.deepcopy(model).eval()
    inputs = set_memory_format(copied_model, images, channels_last=name == _CHANNELS_LAST)

    def predict(predictor: nn.Module = copied_model) -> None:
        with torch.no_grad():
            predictor(inputs)

    return _Candidate(copied_model, predict, lambda: predict(copy.deepcopy(copied_model)))


def _count_weight_bytes(contender: _Candidate) -> int:
    """Counts bytes of parameters, gradients and optimizer state, and of the patterns of sparse layers."""
    patterns = [module.pattern for module in contender.model.modules() if isinstance(module, ValueStorageLayer)]
    tensors = _iterate_tensors(contender.model, contender.optimizer)
    return sum(tensor.nbytes for tensor in tensors) + sum(pattern.nbytes for pattern in patterns)


def _iterate_tensors(model: nn.Module, optimizer: Any) -> Iterator[Tensor]:
    for parameter in model.parameters():
        yield parameter
        if parameter.grad is not None:
            yield parameter.grad
        yield from (value for value in optimizer.state[parameter].values() if isinstance(value, Tensor))


def _measure_gigaflops() -> float:
    """Measures the peak rate: the fastest of several dense float32 matrix products and convolutions."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_PEAK_SIZE, _PEAK_SIZE, generator=generator) for _ in range(2))
    images, weight = torch.randn(32, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    acts = {"product": lambda: left @ right, "convolution": lambda: nn.functional.conv2d(images, weight, padding=1)}
    flops = {"product": 2 * math.pow(_PEAK_SIZE, 3), "convolution": 2 * images.numel() * weight[0].numel()}
    rounds = [engines.time_interleaved(acts, rounds=1) for _ in range(6)]
    return max(flops[name] / (1e6 * milliseconds) for times in rounds for name, milliseconds in times.items())
