"""Runs an experiment: from a config to its record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rarefy import data, engines, evaluation, records, reports, training
from rarefy.config import Config
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.evaluation.flow import compute_effective_density
from rarefy.paths import RunPaths
from rarefy.pipeline._build import build_model, draw_sparsity, iterate_batches, split_batches
from rarefy.pipeline._faults import explain_faults
from rarefy.pipeline._folder import LOG, RunError, log_epoch, watch_folder
from rarefy.pipeline._load_data import load_data
from rarefy.pipeline._open import find_record, open_run
from rarefy.pipeline._record import build_record
from rarefy.pipeline._resolve import ResolvedConfig, resolve
from rarefy.pipeline._resume import load_checkpoint
from rarefy.pipeline._shard import can_shard, shard_model
from rarefy.pipeline._short_runs import choose_engine
from rarefy.pipeline._skipped_images import count_skipped_images
from rarefy.pipeline._step_watch import StepWatch
from rarefy.pipeline._warnings import collect_warnings
from rarefy.rng import Streams
from rarefy.shards import is_sharded
from rarefy.sparsity import Sparsity, save

_SCORES = ("accuracy", "loss")


def run(
    config: Config,
    *,
    data: Any = None,
    out: Path = Path("runs"),
    data_dir: Path = Path("data"),
    workers: int | None = None,
    callbacks: Sequence[training.Callback] = (),
    trackers: Sequence[training.Tracker] = (),
    checkpoint_seconds: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
    world: World = SINGLE_PROCESS,
    shard: bool = False,
    name: str = "",
) -> records.Record:
    """Trains, tests and records one run; a finished run is only read, an interrupted one is resumed.

    Several processes call it with the same arguments to train one run together. Only rank 0 writes files and updates
    trackers. The number of processes is not part of the run: any other number can resume it.

    Args:
        config: The run's config.
        data: Data of your own, ``(train, validation, test)``: torch data sets of ``(image, label)`` or pairs of arrays
            ``(images, labels)``; None for validation or test holds them out, see `rarefy.data.collect_splits`. Without
            it the config names the data set.
        out: Folder of the runs; this run's is ``out/<id>``.
        data_dir: Folder of the data sets.
        workers: Processes that decode images of data sets that are not in memory; None: as `rarefy.data.load` chooses.
        callbacks: Called by the training loop on every rank, after those that write the run's files.
        trackers: Experiment trackers. They never change a result, and their failures do not stop the run.
        checkpoint_seconds: Longest time between two checkpoints within an epoch.
        should_stop: Called after every step; if it returns True the run is saved and `Interrupted` is raised.
        world: The processes that train together, see `rarefy.distributed.join_process_group`.
        shard: Whether each process holds only a part of every weight (FSDP2); not part of the run, either.
        name: What you call the run; written into its record, and not part of the run, either.

    Returns:
        The record, also written to ``out/<id>/record.json``.

    Raises:
        RunError: If another process is training this run (`RunHeld`), or the loss becomes non-finite.
        ValueError: If the config or the data cannot be used.

    Example:
        >>> import tempfile
        >>> config = Config.from_values({"data": {"name": "synthetic", "height": 8, "width": 8, "train": 64,
        ...     "validation": 16, "test": 16}, "model": "mlp_16", "density": 0.2, "training": {"epochs": 1}})
        >>> record = run(config, out=Path(tempfile.mkdtemp()))
        >>> record.params.kept == round(0.2 * record.params.total)
        True
    """
    resolved = resolve(config)
    with contextlib.ExitStack() as stack:
        notes = stack.enter_context(collect_warnings())
        resolved, splits = load_data(resolved, data, Path(data_dir), workers)
        shard, paths = shard and can_shard(resolved, world), RunPaths(Path(out) / resolved.id)
        tracked = training.TrackedRun(resolved.id, paths.folder, resolved.config.model_dump(mode="json"))
        tracking = training.TrackerCallback(trackers if world.is_rank0 else (), tracked)
        fingerprint = splits.fingerprint
        if fingerprint:
            world.require_same("The data", fingerprint)
        done = world.on_rank0(lambda: find_record(paths, fingerprint) or open_run(stack, paths, resolved, fingerprint))
        if done is not None:
            return _finish_trackers(done, tracking)
        splits = splits.to(resolved.device)
        metadata = {"data": fingerprint, "notes": notes}
        checkpoint = training.Checkpoint(
            paths.checkpoint, run=resolved.id, every_seconds=checkpoint_seconds, metadata=metadata
        )
        own: tuple[training.Callback, ...] = (checkpoint,) if shard else ()  # all ranks save a sharded model
        if world.is_rank0:
            own = (watch_folder(paths), training.HistoryFile(paths.history), checkpoint, log_epoch, tracking)
        with explain_faults(paths):
            state, engine = _train(resolved, paths, splits, notes, (*own, *callbacks), should_stop, world, shard)
            return _finish_trackers(_evaluate_and_record(resolved, paths, splits, state, engine, notes, name), tracking)


def _train(
    resolved: ResolvedConfig,
    paths: RunPaths,
    splits: data.Splits,
    notes: list[str],
    callbacks: Sequence[training.Callback],
    should_stop: Callable[[], bool],
    world: World,
    shard: bool,
) -> tuple[training.State, engines.Plan]:
    """Trains the network, from the start or from the last checkpoint."""
    streams, values = Streams(resolved.config.seed), resolved.config.training
    counts, *oddities = data.describe_splits(splits)
    LOG.info(counts, extra={"shown": True})
    for oddity in oddities:
        LOG.warning(oddity)
    model = build_model(resolved, splits.spec, streams, world, device=torch.device("cpu") if shard else None)
    _warn_about_convolutions(model, splits.spec)
    sparsity = draw_sparsity(model, resolved, splits, streams)
    _warn_about_cut_layers(model, sparsity, splits.spec)
    batches = split_batches(resolved, splits, streams, world)
    if shard:
        engine = shard_model(model, sparsity, resolved, paths, world)
    else:
        engine = install_engine(model, sparsity, resolved, batches, world, plan_file=paths.engine)
    resume = load_checkpoint(resolved, paths, splits, world)
    notes[:0] = resume["about"].get("notes", ()) if resume else ()
    state = training.train(
        model,
        sparsity,
        batches,
        resolved.training,
        seed=resolved.config.seed,
        validate=_make_validation(splits, world, effective=values.diagnostics),
        callbacks=(*callbacks, StepWatch(engine)),
        resume=resume,
        should_stop=should_stop,
        world=world,
    )
    return state, engine


def _evaluate_and_record(
    resolved: ResolvedConfig,
    paths: RunPaths,
    splits: data.Splits,
    state: training.State,
    engine: engines.Plan,
    notes: Sequence[str],
    name: str,
) -> records.Record:
    """Evaluates the trained network on the test split, the only use of it, and writes the model and the record.

    The test scores of the selected epoch are the run's. If that is the last epoch, those of the epoch with the best
    validation accuracy are recorded too, so that nobody has to choose after having seen both.
    """
    model, sparsity, world = state.model, state.sparsity, state.world
    selects_best = resolved.config.training.select == "best"
    epoch = state.load_best() if selects_best else state.epoch
    metrics = {name: evaluation.METRICS.build(name) for name in _SCORES}

    def score(network: nn.Module) -> dict[str, Any]:
        batches = iterate_batches(splits.test, splits.spec, world, even=state.sharded)
        return evaluation.evaluate(network, batches, metrics, world=world)

    best_epoch = None if selects_best else _score_best_epoch(state, score)
    engines.use_dense(model, sparsity)  # the dense model with zeros is saved and tested
    test = score(model)
    skipped = count_skipped_images(splits, world)
    saved = save(model, sparsity, paths.model) if state.sharded else None  # all ranks take part

    def write() -> records.Record:
        files = {paths.model.name: (saved or save(model, sparsity, paths.model)).file_bytes}
        record = build_record(
            resolved,
            state,
            engine,
            epoch=epoch,
            splits=splits,
            test=test,
            best_epoch=best_epoch,
            files=files,
            skipped=skipped,
            notes=tuple(dict.fromkeys(notes)),
            name=name,
        )
        reports.render([record.model_dump(mode="json")], paths.folder)
        return records.write(record, paths.record)

    return world.on_rank0(write)


def _score_best_epoch(state: training.State, score: Callable[[nn.Module], dict[str, Any]]) -> records.BestEpoch | None:
    """Tests the weights of the epoch with the best validation accuracy, before the engine is removed."""
    if state.best is None:
        return None
    with state.use_best() as number:
        scores = score(state.model if state.sharded else engines.make_dense_copy(state.model))
    return records.BestEpoch(epoch=number, validation_accuracy=state.best["accuracy"], test=scores)


def _finish_trackers(record: records.Record, tracking: training.TrackerCallback) -> records.Record:
    tracking.finish([epoch.model_dump() for epoch in record.history], record.metrics["test"])
    return record


def install_engine(
    model: nn.Module,
    sparsity: Sparsity,
    resolved: ResolvedConfig,
    batches: data.Batches,
    world: World,
    *,
    plan_file: Path | None = None,
) -> engines.Plan:
    """Installs the engine: by measuring on the first batch, or by the plan file that the run wrote when it started.

    Rank 0 measures; the others take its plan.
    """
    values, engine = resolved.config.training, resolved.engine
    if values.compile and not (engine.supports_compile or engine.fallback):
        raise RunError("training.compile compiles dense layers only. Leave out --compile, or take --engine masked.")
    if engine.fallback and (values.compile or values.diagnostics):
        name, flag = resolved.config.engine.name, "--compile" if values.compile else "--diagnostics"
        LOG.info("engine %s: all layers stay dense, which is what %s works with", name, flag, extra={"shown": True})
        return engines.use_engine(model, sparsity, engine.fallback)
    inputs, _ = next(batches.epoch(0, stop=1))
    if values.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    images = values.epochs * len(batches) * values.batch_size
    decide = choose_engine(engine, model, sparsity, inputs, images)
    may_change = not values.channels_last  # a layout that was asked for stays
    with training.autocast(values.precision, resolved.device):
        plan = world.on_rank0(
            lambda: engines.use_engine(
                model,
                sparsity,
                decide,
                inputs=inputs,
                plan_file=plan_file,
                change_layout=may_change,
                epoch_steps=len(batches),
            )
        )
        if world.is_rank0:
            return plan
        return engines.use_engine(model, sparsity, lambda *args: plan, inputs=inputs, change_layout=may_change)


def _warn_about_convolutions(model: nn.Module, spec: data.Spec) -> None:
    """Warns about a network of images that is trained on rows of a table."""
    if spec.is_table and any(isinstance(layer, nn.Conv2d) for layer in model.modules()):
        LOG.warning(
            "%s has rows of numbers, and the network convolutions, which see one pixel; take --model mlp_64_64",
            spec.name,
        )


def _warn_about_cut_layers(model: nn.Module, sparsity: Sparsity, spec: data.Spec) -> None:
    """Warns about layers none of whose kept weights lies on a path from an input to an output."""
    if sparsity.kept == sparsity.total:
        return
    found = compute_effective_density(model, (spec.channels, spec.height, spec.width), sparsity.masks)
    for name, effective in dict(found["layers"]).items():  # type: ignore[call-overload]
        if not effective:
            LOG.warning("%s is cut off: none of its weights lies on a path from an input to an output", name)


def _make_validation(splits: data.Splits, world: World, *, effective: bool) -> Callable[[nn.Module], dict[str, float]]:
    """Makes the function that scores a model after every epoch, optionally with its effective density."""
    metrics = {f"validation_{name}": evaluation.METRICS.build(name) for name in _SCORES}
    size = (splits.spec.channels, splits.spec.height, splits.spec.width)

    def validate(model: nn.Module) -> dict[str, float]:
        batches = iterate_batches(splits.validation, splits.spec, world, even=is_sharded(next(model.parameters())))
        scores = evaluation.evaluate(model, batches, metrics, world=world)
        if effective:
            scores["effective_density"] = compute_effective_density(engines.make_dense_copy(model), size)[
                "effective_density"
            ]
        return scores

    return validate
