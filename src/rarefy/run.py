"""The corridor: the only module that enters every room, in order."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
import math
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy
import torch
from torch import nn

import rarefy
from rarefy import data, engines, evaluation, models, records, reports, training
from rarefy.allocation import ALLOCATIONS, allocate
from rarefy.config import Choice, Config, ConfigError, dump, run_id
from rarefy.paths import RunPaths, replacing
from rarefy.registry import Registry
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, save, sparsify
from rarefy.topology import TOPOLOGIES, Topology

_LOG = logging.getLogger("rarefy")
_EVALUATION_BATCH = 500
T = TypeVar("T")


class RunError(ValueError):
    """A run that cannot go on; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A config whose every named method is built, and the config with every option of theirs filled in.

    Example:
        >>> resolve(Config()).config.allocation.name
        'erk'
    """

    config: Config
    dataset: data.Dataset
    model: models.Model
    allocation: Any
    topology: Topology
    engine: engines.Engine
    training: training.Settings
    device: torch.device

    @property
    def id(self) -> str:
        """The run's id: a hash of every resolved value."""
        return run_id(self.config)


def resolve(config: Config) -> Plan:
    """Builds every method a config names, so that a typo fails before any data is read.

    Raises:
        UnknownName: If a name is not registered; UnknownOption: if an option does not fit; ConfigError: for the device.

    Example:
        >>> resolve(Config(allocation={"name": "ERK-plus"})).config.allocation
        Choice(name='erk_plus', fc_density=1.0)
    """
    model = models.parse(config.model.name, **config.model.options)
    device = _device(config.device)
    dataset, dataset_choice = _built(data.DATASETS, config.data)
    allocation, allocation_choice = _built(ALLOCATIONS, config.allocation)
    topology, topology_choice = _built(TOPOLOGIES, config.topology)
    engine, engine_choice = _built(engines.ENGINES, config.engine)
    optimizer, optimizer_choice = _built(training.OPTIMIZERS, config.training.optimizer)
    schedule, schedule_choice = _built(training.SCHEDULES, config.training.schedule)
    values = config.training.model_copy(update={"optimizer": optimizer_choice, "schedule": schedule_choice})
    choices = {
        "data": dataset_choice,
        "model": Choice(name=model.name),
        "allocation": allocation_choice,
        "topology": topology_choice,
        "engine": engine_choice,
        "device": str(device),
        "training": values,
    }
    settings = training.Settings(values, optimizer, schedule)
    return Plan(config.model_copy(update=choices), dataset, model, allocation, topology, engine, settings, device)


def run(
    config: Config,
    *,
    out: Path = Path("runs"),
    data_dir: Path = Path("data"),
    callbacks: Sequence[training.Callback] = (),
    checkpoint_seconds: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> records.Record:
    """Trains, tests and records one run; a run that is complete is read, one that was interrupted goes on.

    Args:
        config: What to run.
        out: Where runs go; this one to ``out/<id>``.
        data_dir: Where data sets are looked for.
        callbacks: Called by the training loop, beside those that write the run's own files.
        checkpoint_seconds: Longest time between two checkpoints within an epoch.
        should_stop: Asked after every step; the run then saves and raises `rarefy.training.Interrupted`.
    Returns:
        The record, also in ``out/<id>/record.json``.
    Raises:
        RunError: If another process trains this run now, or the loss is no longer finite.
        ValueError: If the config or the data cannot be used.

    Example:
        >>> import tempfile
        >>> config = Config.from_values({"data": {"name": "synthetic", "height": 8, "width": 8, "train": 64,
        ...     "validation": 16, "test": 16}, "model": "mlp_16", "density": 0.2, "training": {"epochs": 1}})
        >>> record = run(config, out=Path(tempfile.mkdtemp()))
        >>> record.params.kept == round(0.2 * record.params.total)
        True
    """
    plan = resolve(config)
    paths = RunPaths(out / plan.id)
    if paths.record.is_file():
        return records.read(paths.record)
    streams = Streams(plan.config.seed)
    splits = data.load(plan.dataset, data_dir, streams("split"))
    with _claimed(paths), _logging_to(paths.log):
        with replacing(paths.config) as partial:
            partial.write_text(dump(plan.config))
        resume = training.load_checkpoint(paths.checkpoint, run=plan.id)
        _LOG.info("%s run %s in %s", "continuing" if resume else "starting", plan.id, paths.folder)
        own = (
            training.HistoryFile(paths.history),
            training.Checkpoint(paths.checkpoint, run=plan.id, every_seconds=checkpoint_seconds),
            _log_epoch,
        )
        try:
            return _run(
                plan, paths, splits, streams, callbacks=(*own, *callbacks), resume=resume, should_stop=should_stop
            )
        except training.NonFiniteLoss as error:
            raise RunError(f"{error} {_last_good(paths)}") from error


def _run(
    plan: Plan,
    paths: RunPaths,
    splits: data.Splits,
    streams: Streams,
    *,
    callbacks: Sequence[training.Callback],
    resume: dict[str, Any] | None,
    should_stop: Callable[[], bool],
) -> records.Record:
    """The experiment, room by room."""
    config, splits = plan.config, splits.to(plan.device)
    model = _model(plan, splits.spec, streams)
    sparsity = sparse(model, plan, splits, streams)
    engine = engines.install(model, sparsity, plan.engine)
    batches = data.Batches(
        splits.train, splits.spec, config.training.batch_size, streams=streams, augment=splits.augment
    )
    state = training.train(
        model,
        sparsity,
        batches,
        plan.training,
        seed=config.seed,
        validate=_validation(splits),
        callbacks=callbacks,
        resume=resume,
        should_stop=should_stop,
    )
    selected = state.select_best()
    size = save(model, sparsity, paths.model)
    metrics = {name: evaluation.METRICS.build(name) for name in ("accuracy", "loss")}
    scores = evaluation.evaluate(
        model, _unaugmented(splits.test, splits.spec), metrics
    )  # the only line that touches the test split
    record = _record(
        plan,
        model,
        sparsity,
        engine,
        state.history,
        selected,
        {"test": scores},
        files={paths.model.name: size},
        images=len(splits.train),
    )
    reports.render([record.model_dump(mode="json")], paths.folder)
    return records.write(record, paths.record)


def sparse(model: nn.Module, plan: Plan, splits: data.Splits, streams: Streams) -> Sparsity:
    """Sparsifies a run's model; allocations that look at data get class-balanced training images, unaugmented."""
    sample = None
    if hasattr(plan.allocation, "samples_needed"):
        count = plan.allocation.samples_needed(splits.spec.classes)
        images, labels = data.balanced(splits.train, count, streams("sample"))
        sample = (splits.spec.normalize(images.float() / 255), labels)
    return sparsify(
        model,
        density=plan.config.density,
        allocation=plan.allocation,
        topology=plan.topology,
        seed=plan.config.seed,
        sample=sample,
        scaled=plan.config.scaled,
    )


def _model(plan: Plan, spec: data.Spec, streams: Streams) -> nn.Module:
    size = (spec.height, spec.width)
    model = models.build(
        plan.model, in_channels=spec.channels, classes=spec.classes, size=size, generator=streams("init")
    )
    model = model.to(plan.device)
    if plan.config.training.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return model


def _unaugmented(split: data.Split, spec: data.Spec) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return data.Batches(split, spec, _EVALUATION_BATCH).epoch(0)


def _validation(splits: data.Splits) -> Callable[[nn.Module], dict[str, float]]:
    metrics = {f"validation_{name}": evaluation.METRICS.build(name) for name in ("loss", "accuracy")}
    return lambda model: evaluation.evaluate(model, _unaugmented(splits.validation, splits.spec), metrics)


def _record(
    plan: Plan,
    model: nn.Module,
    sparsity: Sparsity,
    engine: engines.Plan,
    history: Sequence[Mapping[str, Any]],
    selected: int,
    metrics: dict[str, dict[str, Any]],
    *,
    files: dict[str, int],
    images: int,
) -> records.Record:
    return records.Record(
        id=plan.id,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        config=plan.config.model_dump(mode="json"),
        versions=versions(),
        environment=environment(plan.device),
        layers=tuple(
            records.LayerCount(name=x.name, shape=x.shape, kept=x.kept, density=x.density) for x in sparsity.layers()
        ),
        density=sparsity.density,
        params=records.Params(total=sparsity.total, kept=sparsity.kept, all=sum(p.numel() for p in model.parameters())),
        masks={"checksum": sparsity.masks.checksum(), "seed": sparsity.masks.seed},
        engine=dataclasses.asdict(engine),
        history=tuple(records.Epoch(**row) for row in history),
        selected_epoch=selected,
        metrics=metrics,
        timing=_timing(history, images, plan.device),
        files=files,
    )


def _timing(history: Sequence[Mapping[str, Any]], images: int, device: torch.device) -> records.Timing:
    seconds = statistics.median(row["seconds"] for row in history)
    return records.Timing(
        seconds_per_epoch=seconds,
        data_seconds=statistics.median(row["data_seconds"] for row in history),
        images_per_second=images / max(seconds, 1e-9),
        peak_memory_bytes=_peak_memory(device),
    )


def _peak_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions() -> dict[str, str]:
    """Versions of what computes."""
    here = {"rarefy": rarefy.__version__, "python": platform.python_version()}
    return here | {"torch": str(torch.__version__), "numpy": numpy.__version__}


def environment(device: torch.device) -> dict[str, Any]:
    """The machine that computes."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device cannot be {name!r}. Use auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device cannot be {name!r}: torch sees no CUDA device here. Use auto or cpu.")
    return device


def _built(registry: Registry[T], choice: Choice) -> tuple[T, Choice]:
    """The method, and the choice with every option filled in."""
    method = registry.build(choice.name, **choice.options)
    options = json.loads(json.dumps(dataclasses.asdict(method)))  # type: ignore[call-overload]  # plain lists and numbers
    return method, Choice(name=registry.name_of(method), **options)


@contextlib.contextmanager
def _claimed(paths: RunPaths) -> Iterator[None]:
    """Holds the run's folder for this process alone; the lock ends with the process, however it ends."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(paths.lock)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(
            f"The run {paths.folder} is being trained by another process. Wait for it, or stop it."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.setLevel(before)
        _LOG.removeHandler(handler)
        handler.close()


def _log_epoch(event: training.Event, state: training.State) -> None:
    if event is training.Event.EPOCH:
        _LOG.info("epoch %s", json.dumps(state.history[-1]))


def _last_good(paths: RunPaths) -> str:
    if not paths.checkpoint.is_file():
        return "No checkpoint had been written yet."
    state = training.load_checkpoint(paths.checkpoint, run=paths.folder.name) or {}
    return (
        f"The last good checkpoint is {paths.checkpoint} (epoch {state.get('epoch')} done, batch {state.get('batch')})."
    )


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """A layer of a table of densities: what it keeps, and the FLOPs of its dense forward pass for one image."""

    name: str
    shape: tuple[int, ...]
    kept: int
    flops: int

    @property
    def total(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def density(self) -> float:
        """Fraction of weights kept."""
        return self.kept / self.total


def densities(config: Config, *, in_channels: int, classes: int, size: tuple[int, int]) -> list[LayerCost]:
    """How many weights each layer would keep, and what it computes; neither data nor training is needed.

    Args:
        config: Model, allocation and density are read from it.
        in_channels: Channels of an image.
        classes: Number of classes.
        size: Height and width of an image.
    Raises:
        ValueError: If the allocation looks at data, or the density cannot be had.

    Example:
        >>> config = Config(model="mlp_16", allocation="uniform", density=0.25)
        >>> [layer.kept for layer in densities(config, in_channels=1, classes=4, size=(2, 2))]
        [16, 16]
    """
    plan = resolve(config)
    model = models.build(
        plan.model, in_channels=in_channels, classes=classes, size=size, generator=Streams(config.seed)("init")
    )
    weights = models.prunable(model)
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    counts = allocate(plan.allocation, shapes, plan.config.density)
    flops = evaluation.layer_flops(model, weights, (in_channels, *size))
    return [LayerCost(name, shapes[name], counts[name], flops[name]) for name in shapes]
