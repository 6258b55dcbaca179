"""Tasks of an evaluation: functions of a finished run and the options, each with a path in the record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy import data, engines
from rarefy.evaluation import METRICS, Predictions, describe_metric, fit_temperature, scale_logits
from rarefy.evaluation.attacks import compute_robust_accuracy
from rarefy.evaluation.corruptions import CORRUPTIONS, Variant, compute_corruption_errors, iterate_corruptions
from rarefy.evaluation.cost import compute_cost
from rarefy.evaluation.flow import (
    compute_effective_density,
    compute_gradient_norm,
    compute_landscape,
    compute_top_eigenvalue,
    count_dead_units,
)
from rarefy.evaluation.latency import measure_latency, measure_peak_memory
from rarefy.evaluation.ood import ROC_FPR, compute_roc, compute_scores, load_ood, measure_detection
from rarefy.pipeline._build import EVALUATION_BATCH
from rarefy.pipeline._evaluate._examples import write_examples
from rarefy.pipeline._evaluate._finished_run import FinishedRun
from rarefy.pipeline._evaluate._labels import digest_path, label_sources
from rarefy.pipeline._evaluate._options import EvaluationOptions
from rarefy.pipeline._folder import LOG
from rarefy.records import describe_metrics

ProgressFn = Callable[[float], None]  # called with the fraction of a task that is done, in [0, 1]
_ATTACK_BATCH = 64
_FLOW_IMAGES = 512
_HESSIAN_IMAGES = 128  # each iteration costs four passes
_LATENCY_BATCHES = (1, 128)


@dataclasses.dataclass(frozen=True)
class EvaluationTask:
    """One result to compute.

    Args:
        path: Its path in ``metrics.test``; the results of the empty path are merged into ``metrics.test`` itself.
        options: Everything but the run that its value depends on; a result with the same options is not recomputed.
        compute: Computes it.
    """

    path: tuple[str, ...]
    options: Mapping[str, Any]
    compute: Callable[[FinishedRun, ProgressFn], dict[str, Any]]

    @property
    def name(self) -> str:
        """Its name in messages and in the record."""
        return " ".join(self.path) or "accuracy"


def build_tasks(options: EvaluationOptions, cache: CorruptionCache) -> list[EvaluationTask]:
    """Lists the tasks of an evaluation, quick ones first."""
    return list(_iterate_tasks(options, cache))


def _iterate_tasks(options: EvaluationOptions, cache: CorruptionCache) -> Iterator[EvaluationTask]:
    plugins = _find_plugin_metrics()
    inputs: dict[str, Any] = {"plugins": plugins} if plugins else {}
    yield EvaluationTask((), inputs, lambda run, progress: compute_accuracy(run.test, run.spec.class_names))
    if options.calibration:
        yield EvaluationTask(("calibration",), {}, lambda run, progress: compute_calibration(run.validation, run.test))
    extras = {"hessian": options.hessian, "landscape": options.landscape}
    flow_inputs = {"images": _FLOW_IMAGES, **extras}
    yield EvaluationTask(("flow",), flow_inputs, lambda run, progress: compute_flow(run, progress, **extras))
    if options.cost:
        yield EvaluationTask(("cost",), {"threads": torch.get_num_threads()}, measure_cost)
    for label, source in label_sources(options.ood).items():
        scores = list(options.chosen_scores)
        inputs = {"images": options.ood_images, "scores": scores, "seed": options.seed, **digest_path(source)}
        yield EvaluationTask(("ood", label), inputs, _bind(compute_ood, options, source, label))
    for label in options.attacks:
        inputs = {"images": options.attack_images, "seed": options.seed}
        yield EvaluationTask(("attacks", label), inputs, _bind(compute_attack, options, label))
    for label in _attacks_with_curve(options):
        curve = {"images": options.curve_images, "eps": list(options.eps), "seed": options.seed}
        yield EvaluationTask(("robust_curve", label), curve, _bind(compute_robust_curve, options, label))
    if options.corruptions:
        official = options.official.name if options.official else ""
        digest = digest_path(str(options.official.absolute())) if options.official else {}
        inputs = {"images": options.corruption_images, "seed": options.seed, "official": official, **digest}
        yield EvaluationTask(("corruptions",), inputs, _bind(compute_corruptions, options, cache))


def _attacks_with_curve(options: EvaluationOptions) -> Iterable[str]:
    """Labels of the attacks that get a curve: the first of each kind, without those too slow for one."""
    kinds = {type(options.attack(label)): label for label in reversed(options.attacks)}
    return (label for kind, label in reversed(kinds.items()) if not getattr(kind, "costly", False))


def _bind(function: Callable[..., dict[str, Any]], *args: Any) -> Callable[[FinishedRun, ProgressFn], dict[str, Any]]:
    return lambda run, progress: function(run, progress, *args)


def compute_accuracy(test: Predictions, classes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Computes every registered metric that does not use confidence, and describes those of plug-ins."""
    plugins = _find_plugin_metrics()
    return {
        "images": len(test),
        **({"class_names": classes} if classes else {}),
        **_compute_metrics(test, uses_confidence=False),
        **({"described": {name: describe_metric(name).model_dump() for name in plugins}} if plugins else {}),
    }


def _compute_metrics(predictions: Predictions, *, uses_confidence: bool) -> dict[str, Any]:
    names = [name for name in METRICS.names() if describe_metric(name).uses_confidence is uses_confidence]
    return {name: METRICS.build(name)(predictions) for name in names}


def _find_plugin_metrics() -> list[str]:
    """Finds the metrics that other packages register."""
    return sorted(set(METRICS.names()) - describe_metrics({}).keys())


def compute_calibration(validation: Predictions, test: Predictions) -> dict[str, Any]:
    """Measures confidence on the test split, before and after temperature scaling fitted on validation."""
    temperature = fit_temperature(validation)
    versions = {"before": test, "after": scale_logits(test, temperature)}
    errors = {when: _compute_metrics(version, uses_confidence=True) for when, version in versions.items()}
    return {"temperature": temperature, **errors}


def compute_flow(run: FinishedRun, progress: ProgressFn, *, hessian: bool, landscape: bool) -> dict[str, Any]:
    """Computes gradient norms before and after training, effective density and dead units, on training images."""
    spec = run.spec
    count = min(_FLOW_IMAGES, len(run.splits.train))
    images, labels = data.draw_balanced(run.splits.train, count, run.streams("flow"))
    batch = spec.normalize(images.float() / 255), labels
    untrained, initial_masks = run.initial
    result: dict[str, Any] = {
        "images": count,
        "gradient_norm": {
            "initial": compute_gradient_norm(untrained, *batch, initial_masks, training=True),
            "final": compute_gradient_norm(run.model, *batch, run.masks),
        },
        "effective_density": compute_effective_density(run.model, run.shape, run.masks),
        "dead_units": _count_dead_units(run, batch),
    }
    progress(0.5)
    if hessian:
        few_images, few_labels = (tensor[:_HESSIAN_IMAGES] for tensor in batch)
        result["hessian"] = compute_top_eigenvalue(run.model, few_images, few_labels, run.masks)
    if landscape:
        result["landscape"] = _landscape(run, batch)
    return result


def _landscape(run: FinishedRun, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    return dict(compute_landscape(run.model, *batch, run.masks))


def measure_cost(run: FinishedRun, progress: ProgressFn) -> dict[str, Any]:
    """Counts FLOPs, parameters and bytes, and measures latency and memory with the run's engine on this machine."""
    model, sparsity = run.trained
    values = run.resolved.config.training
    steps = values.epochs * math.ceil(len(run.splits.train) / values.batch_size)
    counted = compute_cost(
        model,
        sparsity.weights(),
        sparsity.masks.counts(),
        run.shape,
        run.resolved.topology,
        steps=steps,
        initial={name: int(mask.sum()) for name, mask in run.initial[1].items()},
    )
    progress(0.3)
    engine = run.resolved.config.engine.name
    latencies, memory = {}, {}
    for batch in _LATENCY_BATCHES:
        images = data.take_spaced(run.splits.test, batch).images
        inputs = run.spec.normalize(images.float() / 255)
        compiled = model if engine == "masked" else engines.compile_inference(model, inputs)
        latencies[str(len(inputs))] = {**dataclasses.asdict(measure_latency(compiled, inputs)), "engine": engine}
        memory[str(len(inputs))] = measure_peak_memory(compiled, inputs)
    files = {"model": run.paths.model.stat().st_size, "dense": 4 * counted.parameters}
    return {**counted.as_dict(), "bytes": files, "latency": latencies, "peak_memory_bytes": memory}


def _count_dead_units(run: FinishedRun, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    try:
        return count_dead_units(run.model, [batch])
    except ValueError as error:  # a network without ReLUs has no dead units
        return {"not_computed": str(error)}


def compute_ood(
    run: FinishedRun, progress: ProgressFn, options: EvaluationOptions, source: str, label: str
) -> dict[str, Any]:
    """Measures how well scores separate test images from a source's; writes strips of detected and missed images."""
    scores = options.chosen_scores
    ood_images = load_ood(source, run.data_dir, run.spec, seed=options.seed, limit=options.ood_images)
    test_scores, left_out = run.score_test(scores, options.ood_images)
    progress(0.4)
    view = run.view(ood_images)
    ood_scores, faults = compute_scores(view, {name: scores[name] for name in test_scores})
    for name, fault in (left_out := left_out | faults).items():
        LOG.warning("%s is left out of %s: %s", name, source, fault)
    write_examples(run, label, ood_images, view.logits)
    results = {
        name: {**measure_detection(test_scores[name], out), "roc": compute_roc(test_scores[name], out)}
        for name, out in ood_scores.items()
    }
    inside = len(next(iter(test_scores.values())))
    omissions = {"left_out": left_out} if left_out else {}
    return {"images": len(ood_images), "inside": inside, "roc_fpr": list(ROC_FPR), "scores": results, **omissions}


def compute_attack(run: FinishedRun, progress: ProgressFn, options: EvaluationOptions, label: str) -> dict[str, Any]:
    """Computes the accuracy on the first test images, clean and attacked."""
    method = options.attack(label)
    result = _measure_robustness(run, progress, method, options.attack_images, options.seed)
    return {"attack": label.partition(":")[0], "options": dataclasses.asdict(method), **result}


def compute_robust_curve(
    run: FinishedRun, progress: ProgressFn, options: EvaluationOptions, label: str
) -> dict[str, Any]:
    """Computes the robust accuracy at several eps, on fewer images; at eps 0 it is the clean accuracy."""
    robust: list[Any] = []
    for number, eps in enumerate(options.eps):
        method = dataclasses.replace(options.attack(label), eps=eps)
        share = _scale_progress(progress, number, len(options.eps))
        result = _measure_robustness(run, share, method, options.curve_images, options.seed)
        robust = [*(robust or [result["clean"]]), result["robust"]]
    return {"eps": [0.0, *options.eps], "robust": robust, "images": result["images"]}


def _measure_robustness(run: FinishedRun, progress: ProgressFn, method: Any, images: int, seed: int) -> dict[str, Any]:
    batch = data.take_first(run.splits.test, images)
    return compute_robust_accuracy(
        run.model,
        run.spec,
        batch.images,
        batch.labels,
        method,
        batch_size=_ATTACK_BATCH,
        seed=seed,
        progress=lambda done: progress(done / len(batch)),
    )


def _scale_progress(progress: ProgressFn, number: int, total: int) -> ProgressFn:
    return lambda done: progress((number + done) / total)


class CorruptionCache:
    """Corrupted images of the last data set, so that several runs of it share them.

    Args:
        keep: Whether to keep them: whether there are several runs.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._fingerprint = ""
        self._variants: list[Variant] = []

    def corrupt(self, run: FinishedRun, options: EvaluationOptions) -> Iterator[Variant]:
        """Yields every corruption of the run's test images at every severity."""
        if self._fingerprint == run.fingerprint:
            yield from self._variants
            return
        variants: list[Variant] = []
        names = [name for name in CORRUPTIONS if run.spec.channels == 3 or name != "saturate"]
        limit, seed = options.corruption_images, options.seed
        for variant in iterate_corruptions(run.splits.test, names, official=options.official, limit=limit, seed=seed):
            variants += [variant] if self._keep else []
            yield variant
        self._fingerprint, self._variants = (run.fingerprint, variants) if self._keep else ("", [])


def compute_corruptions(
    run: FinishedRun, progress: ProgressFn, options: EvaluationOptions, cache: CorruptionCache
) -> dict[str, Any]:
    """Computes the errors on the 15 + 4 corruptions of CIFAR-C."""

    def iterate_variants() -> Iterator[Variant]:
        for number, variant in enumerate(cache.corrupt(run, options)):
            progress(number / (5 * len(CORRUPTIONS)))
            yield variant

    errors = compute_corruption_errors(run.model, run.spec, iterate_variants(), batch_size=EVALUATION_BATCH)
    return {"source": "official" if options.official else "regenerated", **errors}
