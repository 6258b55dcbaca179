"""The corridor: the experiment, room by room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from rarefy import data, engines, evaluation, records, reports, training
from rarefy.config import Config, dump
from rarefy.evaluation.flow import effective_density
from rarefy.paths import RunPaths, replacing
from rarefy.rng import Streams
from rarefy.run._build import built_model, drawn_sparsity, in_order
from rarefy.run._place import LOG, RunError, claimed, log_epoch, logging_to
from rarefy.run._plan import Plan, resolve
from rarefy.run._record import recorded
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
) -> records.Record:
    """Trains, tests and records one run; a run that is complete is read, one that was interrupted goes on.

    Args:
        config: What to run.
        out: Where runs go; this one to ``out/<id>``.
        data_dir: Where data sets are looked for.
        workers: Processes that decode images, for data that are not in memory; None: as `rarefy.data.load` chooses.
        callbacks: Called by the training loop, beside those that write the run's own files.
        trackers: Kept up to date with the run, a complete one too; they change no bit of it, and none fails it.
        checkpoint_seconds: Longest time between two checkpoints within an epoch.
        should_stop: Asked after every step; the run then saves and raises `rarefy.training.Interrupted`.

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
    plan = resolve(config)
    paths = RunPaths(out / plan.id)
    tracked = training.TrackedRun(plan.id, paths.folder, plan.config.model_dump(mode="json"))
    tracking = training.Tracking(trackers, tracked)
    if paths.record.is_file():
        return _reported(records.read(paths.record), tracking)
    splits = data.load(plan.dataset, data_dir, Streams(plan.config.seed)("split"), workers=workers)
    with claimed(paths), logging_to(paths.log):
        if paths.record.is_file():  # another process had the run until now
            return _reported(records.read(paths.record), tracking)
        with replacing(paths.config) as partial:
            partial.write_text(dump(plan.config))
        checkpoint = training.Checkpoint(paths.checkpoint, run=plan.id, every_seconds=checkpoint_seconds)
        own = (training.HistoryFile(paths.history), checkpoint, log_epoch)
        try:
            return _reported(_run(plan, paths, splits, (*own, tracking, *callbacks), should_stop), tracking)
        except training.NonFiniteLoss as error:
            raise RunError(f"{error} {_last_good(paths)}") from error


def _run(
    plan: Plan,
    paths: RunPaths,
    splits: data.Splits,
    callbacks: Sequence[training.Callback],
    should_stop: Callable[[], bool],
) -> records.Record:
    """The experiment."""
    streams, values = Streams(plan.config.seed), plan.config.training
    splits = splits.to(plan.device)
    model = built_model(plan, splits.spec, streams)
    sparsity = drawn_sparsity(model, plan, splits, streams)
    _warn_about_cut_layers(model, sparsity, splits.spec)
    batches = data.Batches(splits.train, splits.spec, values.batch_size, streams=streams, augment=splits.augment)
    engine = _install(model, sparsity, plan, batches, paths)
    resume = training.load_checkpoint(paths.checkpoint, run=plan.id)
    LOG.info("%s run %s", "continuing" if resume else "starting", plan.id)
    state = training.train(
        model,
        sparsity,
        batches,
        plan.training,
        seed=plan.config.seed,
        validate=_validation(splits, effective=values.diagnostics),
        callbacks=callbacks,
        resume=resume,
        should_stop=should_stop,
    )
    epoch = state.select_best()
    engines.remove(model, sparsity)  # what is saved, tested and looked at is the dense model with zeros
    files = {paths.model.name: save(model, sparsity, paths.model).file_bytes}
    metrics = {name: evaluation.METRICS.build(name) for name in _SCORES}
    test = evaluation.evaluate(model, in_order(splits.test, splits.spec), metrics)  # nothing else reads the test split
    record = recorded(plan, state, engine, epoch=epoch, images=len(splits.train), test=test, files=files)
    reports.render([record.model_dump(mode="json")], paths.folder)
    return records.write(record, paths.record)


def _reported(record: records.Record, tracking: training.Tracking) -> records.Record:
    tracking.finish([epoch.model_dump() for epoch in record.history], record.metrics["test"])
    return record


def _install(model: nn.Module, sparsity: Sparsity, plan: Plan, batches: data.Batches, paths: RunPaths) -> engines.Plan:
    """Installs the engine as it measures on the first batch, or as it decided when the run began."""
    values, name = plan.config.training, plan.config.engine.name
    if name == "cpu" and values.compile:
        raise RunError("training.compile compiles dense layers only. Leave out --compile, or take --engine masked.")
    if name == "auto" and (values.compile or values.diagnostics):
        LOG.info("engine auto: all layers stay dense, which --compile and --diagnostics work with")
        return engines.install(model, sparsity, "masked")
    sample, _ = next(iter(batches.epoch(0)))
    if values.channels_last:
        sample = sample.contiguous(memory_format=torch.channels_last)
    with training.autocast(values.precision, plan.device):
        return engines.install(model, sparsity, plan.engine, sample, plan_file=paths.engine)


def _warn_about_cut_layers(model: nn.Module, sparsity: Sparsity, spec: data.Spec) -> None:
    """Says which layers keep weights none of which lies on a path from an input to an output."""
    if sparsity.kept == sparsity.total:
        return
    found = effective_density(model, (spec.channels, spec.height, spec.width), sparsity.masks)
    for name, effective in dict(found["layers"]).items():  # type: ignore[call-overload]
        if not effective:
            LOG.warning("%s is cut off: none of its weights lies on a path from an input to an output", name)


def _validation(splits: data.Splits, *, effective: bool) -> Callable[[nn.Module], dict[str, float]]:
    """What is known of a model after every epoch: validation scores and, if asked for, its effective density."""
    metrics = {f"validation_{name}": evaluation.METRICS.build(name) for name in _SCORES}
    size = (splits.spec.channels, splits.spec.height, splits.spec.width)

    def validate(model: nn.Module) -> dict[str, float]:
        scores = evaluation.evaluate(model, in_order(splits.validation, splits.spec), metrics)
        if effective:
            scores["effective_density"] = effective_density(engines.dense_copy(model), size)["effective_density"]
        return scores

    return validate


def _last_good(paths: RunPaths) -> str:
    state = training.load_checkpoint(paths.checkpoint, run=paths.folder.name)
    if state is None:
        return "No checkpoint had been written yet."
    return (
        f"The last good checkpoint is {paths.checkpoint} ({state['epoch']} epochs and {state['batch']} batches done)."
    )
