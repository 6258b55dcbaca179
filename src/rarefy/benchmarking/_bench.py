"""Dense and engines side by side on this machine: what `rarefy bench` measures."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rarefy import engines, evaluation
from rarefy.benchmarking._memory import peak_of
from rarefy.errors import InvalidInput
from rarefy.sparsity import Sparsity, ValueStorageLayer
from rarefy.topology import TOPOLOGIES

BATCHES = (1, 128, 256)
CONTENDERS = ("masked", "cpu")
_DENSE = ("dense", "channels last")
_PEAK_SIZE = 1024  # rows and columns of the matrices whose product shows what the machine can
_TIMES_FORWARD = {"training": 3, "inference": 1}  # a backward pass is two products for the forward one


@dataclasses.dataclass(frozen=True)
class EngineTiming:
    """One way of computing one thing.

    Args:
        what: ``"training"`` (forward, loss, backward, SGD with momentum) or ``"inference"``.
        batch: Images.
        engine: ``"dense"`` (no masks; the faster of torch's two orders of memory), ``"masked"`` or another. For
            inference all but these two are what `rarefy.compile_inference` makes.
        milliseconds: Median over rounds in which all take turns.
        speedup: Dense milliseconds / these.
        peak_bytes: The most memory that the model, its optimizer and a step took together; None where it is not known.
        limit_share: FLOPs of the weights it needs (all for dense, else those kept) in that time / what the machine can.

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
    """What `bench` found.

    Args:
        machine: The processor.
        threads: Threads of torch, and of the kernels.
        gigaflops: The arithmetic limit: the highest rate that dense float32 products and convolutions reached.
        compile_seconds: What compiling or loading the kernels took; no part of the times.
        total: Prunable weights.
        kept: Those kept.
        weight_bytes: Engine to bytes of parameters, gradients, momentum and patterns in training.
        layers: Layer name to how the last of the engines computes it.
        timings: The measurements.

    Example:
        >>> found = BenchResult("a machine", 1, 100.0, 0.0, 64, 8, {"cpu": 128}, {"weight": "sparse"}, ())
        >>> found.kept / found.total
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
class _Contender:
    """A model that is ready to compute in its way; `act` is timed, `again` makes and uses another of the kind."""

    model: nn.Module
    act: Callable[[], None]
    again: Callable[[], None]
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
    """Times training steps and predictions of a sparse network with several engines and dense, in turns.

    Args:
        model: A sparse network on the CPU; it is not changed.
        sparsity: Its masks.
        shape: Of one image, ``(C, H, W)``.
        batches: Numbers of images. Training is left out for 1, where batch norm knows no variance.
        contenders: Names of the engines.
        rounds: Rounds of each comparison.
        progress: Called with what is being measured and the share that is done.

    Raises:
        KernelsMissing: If an engine needs numba, which cannot be imported.
        ValueError: If a batch or the rounds are not positive.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 10))
        >>> found = bench(model, rarefy.sparsify(model, density=0.1), (3, 4, 4), batches=[4], rounds=1)
        >>> [(timing.what, timing.engine) for timing in found.timings][:3]
        [('training', 'dense'), ('training', 'masked'), ('training', 'cpu')]
    """
    if rounds < 1 or min(batches, default=0) < 1:
        raise InvalidInput(f"Batches and rounds have to be at least 1; got {list(batches)} and {rounds}.")
    seconds, limit = engines.compile_kernels() if "cpu" in contenders else 0.0, _gigaflops()
    work = [(what, batch) for what in _TIMES_FORWARD for batch in batches if what == "inference" or batch > 1]
    rows: list[_Row] = []
    for number, (what, batch) in enumerate(work):
        progress(f"{what}, batch {batch}", number / len(work))
        images = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
        rows.append(_row(_contenders(model, sparsity, what, images, contenders), what, batch, rounds))
    progress("done", 1.0)
    flops = evaluation.layer_flops(model, sparsity.weights(), shape)
    kept = sum(flops[layer.name] * layer.density for layer in sparsity.layers())
    limit = max(limit, _gigaflops())  # the machine may have been busy before
    return BenchResult(
        machine=engines.describe_machine(),
        threads=torch.get_num_threads(),
        gigaflops=limit,
        compile_seconds=seconds,
        total=sparsity.total,
        kept=sparsity.kept,
        weight_bytes=next((row.weight_bytes for row in rows if row.weight_bytes), {}),
        layers=next((row.layers for row in rows if row.layers), {}),
        timings=tuple(_timings(rows, {"dense": sum(flops.values()), **dict.fromkeys(contenders, kept)}, limit)),
    )


@dataclasses.dataclass
class _Row:
    """One comparison: what each engine took, by name."""

    what: str
    batch: int
    times: dict[str, float]
    peaks: dict[str, int | None]
    weight_bytes: dict[str, int]
    layers: dict[str, str]


def _row(ready: tuple[dict[str, _Contender], dict[str, int | None]], what: str, batch: int, rounds: int) -> _Row:
    contenders, peaks = ready
    times = engines.time_interleaved({name: one.act for name, one in contenders.items()}, rounds=rounds)
    times["dense"] = min(times["dense"], times.pop("channels last"))
    held = {name: _weight_bytes(one) for name, one in contenders.items() if one.optimizer and name in times}
    return _Row(what, batch, times, peaks, held, contenders[next(reversed(contenders))].layers)


def _timings(rows: Sequence[_Row], flops: dict[str, float], limit: float) -> Iterator[EngineTiming]:
    """`flops` are those of the forward pass of one image, by engine."""
    for row in rows:
        for name, milliseconds in row.times.items():
            share = _TIMES_FORWARD[row.what] * row.batch * flops[name] / (1e6 * milliseconds * limit)
            speedup = row.times["dense"] / milliseconds
            yield EngineTiming(row.what, row.batch, name, milliseconds, speedup, row.peaks[name], share)


def _contenders(
    model: nn.Module, sparsity: Sparsity, what: str, images: Tensor, names: Sequence[str]
) -> tuple[dict[str, _Contender], dict[str, int | None]]:
    """Everybody, and the memory that each takes from nothing to the end of a step.

    What happens but once (compiling, importing, reserving) has happened to the first of each, which is timed later; the
    memory is that of a second one.
    """
    found: dict[str, _Contender] = {}
    peaks: dict[str, int | None] = {}
    build = _training if what == "training" else _inference
    for name in (*_DENSE, *names):
        found[name] = build(model, sparsity, name, images)
        found[name].act()
        engines.free_buffers()
        peaks[name] = peak_of(found[name].again)
    return found, peaks


def _training(model: nn.Module, sparsity: Sparsity, name: str, images: Tensor) -> _Contender:
    twin, masks = copy.deepcopy((model, sparsity))
    masks.masked_model.topology = TOPOLOGIES.build("static")
    twin.train()
    inputs = _in_memory_order(twin, name, images)
    plan = engines.use_engine(twin, masks, name, inputs=images) if name not in _DENSE else None
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)
    if name not in _DENSE:
        masks.attach(optimizer)
    labels = torch.zeros(len(images), dtype=torch.int64)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(twin(inputs), labels).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()

    def again() -> None:
        _training(model, sparsity, name, images).act()

    return _Contender(twin, step, again, optimizer, dict(plan.layers) if plan else {})


def _inference(model: nn.Module, sparsity: Sparsity, name: str, images: Tensor) -> _Contender:
    compiled = name not in (*_DENSE, "masked")
    twin = engines.compile_inference(model, images) if compiled else copy.deepcopy(model).eval()
    inputs = _in_memory_order(twin, name, images)

    def predict(predictor: nn.Module = twin) -> None:
        with torch.no_grad():
            predictor(inputs)

    return _Contender(twin, predict, lambda: predict(copy.deepcopy(twin)))


def _in_memory_order(model: nn.Module, name: str, images: Tensor) -> Tensor:
    if name != "channels last":
        return images
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return images.contiguous(memory_format=torch.channels_last)


def _weight_bytes(contender: _Contender) -> int:
    """Parameters, gradients, optimizer state and, for layers that store kept values only, the patterns."""
    patterns = [module.pattern for module in contender.model.modules() if isinstance(module, ValueStorageLayer)]
    held = _held(contender.model, contender.optimizer)
    return sum(tensor.nbytes for tensor in held) + sum(pattern.nbytes for pattern in patterns)


def _held(model: nn.Module, optimizer: Any) -> Iterator[Tensor]:
    for parameter in model.parameters():
        yield parameter
        if parameter.grad is not None:
            yield parameter.grad
        yield from (value for value in optimizer.state[parameter].values() if isinstance(value, Tensor))


def _gigaflops() -> float:
    """What the machine can: the fastest of several dense matrix products and convolutions in float32."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_PEAK_SIZE, _PEAK_SIZE, generator=generator) for _ in range(2))
    images, weight = torch.randn(32, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    acts = {"product": lambda: left @ right, "convolution": lambda: nn.functional.conv2d(images, weight, padding=1)}
    flops = {"product": 2 * math.pow(_PEAK_SIZE, 3), "convolution": 2 * images.numel() * weight[0].numel()}
    rounds = [engines.time_interleaved(acts, rounds=1) for _ in range(6)]
    return max(flops[name] / (1e6 * milliseconds) for times in rounds for name, milliseconds in times.items())
