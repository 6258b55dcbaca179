"""The corridor: the experiment, room by room."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rarefy import data, engines, evaluation, records, reports, training
from rarefy.config import Config, Training
from rarefy.distributed import SINGLE_PROCESS, World
from rarefy.evaluation.flow import effective_density
from rarefy.paths import RunPaths
from rarefy.pipeline._build import build_model, draw_sparsity, in_order, split_batches
from rarefy.pipeline._faults import explain_faults
from rarefy.pipeline._folder import LOG, RunError, log_epoch, watch_folder
from rarefy.pipeline._notes import take_notes
from rarefy.pipeline._open import find_record, open_run
from rarefy.pipeline._record import recorded
from rarefy.pipeline._resolve import ResolvedConfig, resolve
from rarefy.pipeline._same_data import require_same_data
from rarefy.pipeline._sharded import shard_model, shardable
from rarefy.pipeline._skipped import skipped_images
from rarefy.pipeline._step_watch import StepWatch
from rarefy.rng import Streams
from rarefy.shards import is_sharded
from rarefy.sparsity import Sparsity, save

_SCORES = ("accuracy", "loss")


def run(
    config: Config,
    *,
    out: Path = Path("runs"),
    data_dir: Path = Path("data"),
    workers: int | None = None,
    callbacks: Sequence[training.Callback] = (),
    trackers: Sequence[training.Tracker] = (),
    checkpoint_seconds: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
    world: World = SINGLE_PROCESS,
    shard: bool = False,
) -> records.Record:
    """Trains, tests and records one run; a run that is complete is read, one that was interrupted goes on.

    Several processes call it alike to train one run together. The first alone writes files and keeps trackers; who
    shares the work is no part of the run, which can be continued by any number of processes.

    Args:
        config: What to run.
        out: Where runs go; this one to ``out/<id>``.
        data_dir: Where data sets are looked for.
        workers: Processes that decode images, for data that are not in memory; None: as `rarefy.data.load` chooses.
        callbacks: Called by the training loop on every rank, beside those that write the run's own files.
        trackers: Kept up to date with the run, a complete one too; they change no bit of it, and none fails it.
        checkpoint_seconds: Longest time between two checkpoints within an epoch.
        should_stop: Asked after every step; the run then saves and raises `rarefy.training.Interrupted`.
        world: The processes that train together, see `rarefy.distributed.join_process_group`.
        shard: Whether each process holds a part of every weight (FSDP2) and not a copy; no part of the run, either.

    Returns:
        The record, also in ``out/<id>/record.json``.

    Raises:
        RunError: If another process trains this run now (`RunHeld`), or the loss is no longer finite.
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
    shard = shard and shardable(resolved, world)
    paths = RunPaths(out / resolved.id)
    tracked = training.TrackedRun(resolved.id, paths.folder, resolved.config.model_dump(mode="json"))
    tracking = training.Tracking(trackers if world.is_rank0 else (), tracked)
    with contextlib.ExitStack() as place:
        notes = place.enter_context(take_notes())
        splits = data.load(resolved.dataset, data_dir, Streams(resolved.config.seed)("split"), workers=workers)
        fingerprint = splits.fingerprint
        if fingerprint:
            world.require_same("The data", fingerprint)
        done = world.on_rank0(lambda: find_record(paths, fingerprint) or open_run(place, paths, resolved, fingerprint))
        if done is not None:
            return _reported(done, tracking)
        splits = splits.to(resolved.device)
        about = {"data": fingerprint, "notes": notes}
        checkpoint = training.Checkpoint(
            paths.checkpoint, run=resolved.id, every_seconds=checkpoint_seconds, about=about
        )
        own: tuple[training.Callback, ...] = (checkpoint,) if shard else ()  # what is sharded is saved by all
        if world.is_rank0:
            own = (watch_folder(paths), training.HistoryFile(paths.history), checkpoint, log_epoch, tracking)
        with explain_faults(paths):
            state, engine = _train(resolved, paths, splits, notes, (*own, *callbacks), should_stop, world, shard)
            return _reported(_tested(resolved, paths, splits, state, engine, notes), tracking)


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
    """Trains the network, from the start or from where an earlier attempt was."""
    streams, values = Streams(resolved.config.seed), resolved.config.training
    counts, *oddities = data.describe_splits(splits)
    LOG.info(counts, extra={"shown": True})
    for oddity in oddities:
        LOG.warning(oddity)
    model = build_model(resolved, splits.spec, streams, world, device=torch.device("cpu") if shard else None)
    sparsity = draw_sparsity(model, resolved, splits, streams)
    _warn_about_cut_layers(model, sparsity, splits.spec)
    batches = split_batches(resolved, splits, streams, world)
    if shard:
        engine = shard_model(model, sparsity, resolved, paths, world)
    else:
        engine = install_engine(model, sparsity, resolved, batches, world, plan_file=paths.engine)
    resume = _resumed(resolved, paths, splits, world)
    notes[:0] = resume["about"].get("notes", ()) if resume else ()
    state = training.train(
        model,
        sparsity,
        batches,
        resolved.training,
        seed=resolved.config.seed,
        validate=_validation(splits, world, effective=values.diagnostics),
        callbacks=(*callbacks, StepWatch(engine)),
        resume=resume,
        should_stop=should_stop,
        world=world,
    )
    return state, engine


def _tested(
    resolved: ResolvedConfig,
    paths: RunPaths,
    splits: data.Splits,
    state: training.State,
    engine: engines.Plan,
    notes: Sequence[str],
) -> records.Record:
    """What the training came to: the only look at the test split, and the run's last files.

    The selected epoch's test scores are the run's. Where that is the last epoch, the scores of the epoch with the best
    validation accuracy stand beside them, so that nobody has to choose after having seen both.
    """
    model, sparsity, world = state.model, state.sparsity, state.world
    selects_best = resolved.config.training.select == "best"
    epoch = state.select_best() if selects_best else state.epoch
    metrics = {name: evaluation.METRICS.build(name) for name in _SCORES}

    def score(network: nn.Module) -> dict[str, Any]:
        batches = in_order(splits.test, splits.spec, world, even=state.sharded)
        return evaluation.evaluate(network, batches, metrics, world=world)

    best_epoch = None if selects_best else _score_best_epoch(state, score)
    engines.use_dense(model, sparsity)  # what is saved, tested and looked at is the dense model with zeros
    test = score(model)
    skipped = skipped_images(splits, world)
    saved = save(model, sparsity, paths.model) if state.sharded else None  # by all of them

    def write() -> records.Record:
        files = {paths.model.name: (saved or save(model, sparsity, paths.model)).file_bytes}
        record = recorded(
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
        )
        reports.render([record.model_dump(mode="json")], paths.folder)
        return records.write(record, paths.record)

    return world.on_rank0(write)


def _score_best_epoch(state: training.State, score: Callable[[nn.Module], dict[str, Any]]) -> records.BestEpoch | None:
    """Scores the weights of the epoch with the best validation accuracy, while the layers are still those trained."""
    if state.best is None:
        return None
    with state.use_best() as number:
        scores = score(state.model if state.sharded else engines.make_dense_copy(state.model))
    return records.BestEpoch(epoch=number, validation_accuracy=state.best["accuracy"], test=scores)


def _reported(record: records.Record, tracking: training.Tracking) -> records.Record:
    tracking.finish([epoch.model_dump() for epoch in record.history], record.metrics["test"])
    return record


def _resumed(resolved: ResolvedConfig, paths: RunPaths, splits: data.Splits, world: World) -> dict[str, Any] | None:
    """The state that an earlier attempt left, if there is one; raises OtherData if it was trained on other data."""
    resume = world.on_rank0(lambda: training.load_checkpoint(paths.checkpoint, run=resolved.id))
    if resume:
        require_same_data(paths.folder, resume["about"].get("data"), splits.fingerprint)
    LOG.info("%s run %s", "continuing" if resume else "starting", resolved.id)
    _tell_about_ranks(resume, world, resolved.config.training)
    return resume


def _tell_about_ranks(resume: dict[str, Any] | None, world: World, values: Training) -> None:
    """Says what another number of processes changes in a run that goes on: who computes what, not what is computed."""
    before = resume.get("ranks", 1) if resume else world.ranks
    if before == world.ranks or not world.is_rank0:
        return
    shares = f"{values.batch_size / before:g} to {values.batch_size / world.ranks:g} images a process"
    norms = "" if values.sync_norms else " Batch norms see that many images, where there are any (--sync-norms: all)."
    LOG.warning(
        "This run was begun by %d process(es) and goes on with %d. The batch stays at %d images a step, the masks and "
        "the order of images stay as they are; a step's share goes from %s.%s",
        *(before, world.ranks, values.batch_size, shares, norms),
    )


def install_engine(
    model: nn.Module,
    sparsity: Sparsity,
    resolved: ResolvedConfig,
    batches: data.Batches,
    world: World,
    *,
    plan_file: Path | None = None,
) -> engines.Plan:
    """Installs the engine as it measures on the first batch, or as it decided when the run began: that is in the file.

    The first rank measures; the others take its plan.
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
    with training.autocast(values.precision, resolved.device):
        found = world.on_rank0(
            lambda: engines.use_engine(model, sparsity, engine, inputs=inputs, plan_file=plan_file, change_layout=True)
        )
        if world.is_rank0:
            return found
        return engines.use_engine(model, sparsity, lambda *seen: found, inputs=inputs, change_layout=True)


def _warn_about_cut_layers(model: nn.Module, sparsity: Sparsity, spec: data.Spec) -> None:
    """Says which layers keep weights none of which lies on a path from an input to an output."""
    if sparsity.kept == sparsity.total:
        return
    found = effective_density(model, (spec.channels, spec.height, spec.width), sparsity.masks)
    for name, effective in dict(found["layers"]).items():  # type: ignore[call-overload]
        if not effective:
            LOG.warning("%s is cut off: none of its weights lies on a path from an input to an output", name)


def _validation(splits: data.Splits, world: World, *, effective: bool) -> Callable[[nn.Module], dict[str, float]]:
    """What is known of a model after every epoch: validation scores and, if asked for, its effective density."""
    metrics = {f"validation_{name}": evaluation.METRICS.build(name) for name in _SCORES}
    size = (splits.spec.channels, splits.spec.height, splits.spec.width)

    def validate(model: nn.Module) -> dict[str, float]:
        batches = in_order(splits.validation, splits.spec, world, even=is_sharded(next(model.parameters())))
        scores = evaluation.evaluate(model, batches, metrics, world=world)
        if effective:
            scores["effective_density"] = effective_density(engines.make_dense_copy(model), size)["effective_density"]
        return scores

    return validate
