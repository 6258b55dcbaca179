"""The parts of an evaluation: each a pure function of a finished run and a request, with a place in the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy import data, engines
from rarefy.evaluation import METRICS, Predictions, fit_temperature, scaled
from rarefy.evaluation.attacks import robust_accuracy
from rarefy.evaluation.corruptions import CORRUPTIONS, Variant, corrupted, corruption_errors
from rarefy.evaluation.cost import cost
from rarefy.evaluation.flow import dead_units, effective_density, gradient_norm, landscape, top_eigenvalue
from rarefy.evaluation.latency import latency, peak_memory
from rarefy.evaluation.ood import ROC_FPR, compute_scores, detection, load_ood, roc
from rarefy.pipeline._build import EVALUATION_BATCH
from rarefy.pipeline._evaluate._examples import write_examples
from rarefy.pipeline._evaluate._labels import label_sources, place_of
from rarefy.pipeline._evaluate._request import EvaluationOptions
from rarefy.pipeline._evaluate._subject import Subject
from rarefy.pipeline._folder import LOG

Tell = Callable[[float], None]  # told the share of a part that is done, in [0, 1]
_ATTACK_BATCH = 64
_FLOW_IMAGES = 512
_HESSIAN_IMAGES = 128  # each iteration costs four passes
_LATENCY_BATCHES = (1, 128)
_CONFIDENCE = {
    "ece": METRICS.build("ece"),
    "ece_mass": METRICS.build("ece", mode="mass"),
    "classwise_ece": METRICS.build("classwise_ece"),
    "loss": METRICS.build("loss"),
    "brier": METRICS.build("brier"),
    "reliability": METRICS.build("reliability"),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """One thing to compute.

    Args:
        place: Where it goes in ``metrics.test``; what is computed at the empty place goes beside the others.
        options: All that its value depends on beside the run; the same again need not be computed again.
        compute: Computes it.
    """

    place: tuple[str, ...]
    options: Mapping[str, Any]
    compute: Callable[[Subject, Tell], dict[str, Any]]

    @property
    def name(self) -> str:
        """What a person calls it."""
        return " ".join(self.place) or "accuracy"


def parts_of(request: EvaluationOptions, shared: Shared) -> list[Part]:
    """Everything a request asks for, the quick things first."""
    return list(_parts(request, shared))


def _parts(request: EvaluationOptions, shared: Shared) -> Iterator[Part]:
    yield Part((), {}, lambda subject, tell: accuracy(subject.test, subject.spec.class_names))
    if request.calibration:
        yield Part(("calibration",), {}, lambda subject, tell: calibration(subject.validation, subject.test))
    extras = {"hessian": request.hessian, "landscape": request.landscape}
    yield Part(("flow",), {"images": _FLOW_IMAGES, **extras}, lambda subject, tell: flow(subject, tell, **extras))
    if request.cost:
        yield Part(("cost",), {"threads": torch.get_num_threads()}, cost_of)
    for label, source in label_sources(request.ood).items():
        scores = list(request.chosen_scores)
        options = {"images": request.ood_images, "scores": scores, "seed": request.seed, **place_of(source)}
        yield Part(("ood", label), options, _bound(ood, request, source, label))
    for label in request.attacks:
        limits = {"images": request.attack_images, "seed": request.seed}
        yield Part(("attacks", label), limits, _bound(attack, request, label))
    for label in _drawn(request):
        points = {"images": request.curve_images, "eps": list(request.eps), "seed": request.seed}
        yield Part(("robust_curve", label), points, _bound(robust_curve, request, label))
    if request.corruptions:
        official = request.official.name if request.official else ""
        place = place_of(str(request.official.absolute())) if request.official else {}
        made = {"images": request.corruption_images, "seed": request.seed, "official": official, **place}
        yield Part(("corruptions",), made, _bound(corruptions, request, shared))


def _drawn(request: EvaluationOptions) -> Iterable[str]:
    """The attacks that get a curve: the first of each kind, unless it takes too long for one."""
    kinds = {type(request.attack(label)): label for label in reversed(request.attacks)}
    return (label for kind, label in reversed(kinds.items()) if not getattr(kind, "costly", False))


def _bound(function: Callable[..., dict[str, Any]], *first: Any) -> Callable[[Subject, Tell], dict[str, Any]]:
    return lambda subject, tell: function(subject, tell, *first)


def accuracy(test: Predictions, classes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every registered metric that is not about confidence, so that a metric of the user's own is among them."""
    names = [name for name in METRICS.names() if name not in _CONFIDENCE]
    return {
        "images": len(test),
        **({"class_names": classes} if classes else {}),
        **{name: METRICS.build(name)(test) for name in names},
    }


def calibration(validation: Predictions, test: Predictions) -> dict[str, Any]:
    """Confidence on the test split, as it is and with the temperature that fits the validation split."""
    temperature = fit_temperature(validation)
    versions = {"before": test, "after": scaled(test, temperature)}
    judged = {when: {name: metric(said) for name, metric in _CONFIDENCE.items()} for when, said in versions.items()}
    return {"temperature": temperature, **judged}


def flow(subject: Subject, tell: Tell, *, hessian: bool, landscape: bool) -> dict[str, Any]:
    """Gradient norms before and after training, effective density, units that never fire; all on training images."""
    spec = subject.spec
    count = min(_FLOW_IMAGES, len(subject.splits.train))
    images, labels = data.balanced(subject.splits.train, count, subject.streams("flow"))
    batch = spec.normalize(images.float() / 255), labels
    untrained, drawn = subject.initial
    found: dict[str, Any] = {
        "images": count,
        "gradient_norm": {
            "initial": gradient_norm(untrained, *batch, drawn, training=True),
            "final": gradient_norm(subject.model, *batch, subject.masks),
        },
        "effective_density": effective_density(subject.model, subject.shape, subject.masks),
        "dead_units": _dead_units(subject, batch),
    }
    tell(0.5)
    if hessian:
        few, of_few = (part[:_HESSIAN_IMAGES] for part in batch)
        found["hessian"] = top_eigenvalue(subject.model, few, of_few, subject.masks)
    if landscape:
        found["landscape"] = _landscape(subject, batch)
    return found


def _landscape(subject: Subject, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    return dict(landscape(subject.model, *batch, subject.masks))


def cost_of(subject: Subject, tell: Tell) -> dict[str, Any]:
    """What the network costs: counted, and measured with the run's engine on this machine."""
    model, sparsity = subject.trained
    steps = subject.resolved.config.training.epochs * -(
        -len(subject.splits.train) // subject.resolved.config.training.batch_size
    )
    counted = cost(
        model,
        sparsity.weights(),
        sparsity.masks.counts(),
        subject.shape,
        subject.resolved.topology,
        steps=steps,
        initial={name: int(mask.sum()) for name, mask in subject.initial[1].items()},
    )
    tell(0.3)
    engine = subject.resolved.config.engine.name
    timed, memory = {}, {}
    for batch in _LATENCY_BATCHES:
        images = data.spaced(subject.splits.test, batch).images
        inputs = subject.spec.normalize(images.float() / 255)
        compiled = model if engine == "masked" else engines.compile_inference(model, inputs)
        timed[str(len(inputs))] = {**dataclasses.asdict(latency(compiled, inputs)), "engine": engine}
        memory[str(len(inputs))] = peak_memory(compiled, inputs)
    files = {"model": subject.paths.model.stat().st_size, "dense": 4 * counted.parameters}
    return {**counted.as_dict(), "bytes": files, "latency": timed, "peak_memory_bytes": memory}


def _dead_units(subject: Subject, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    try:
        return dead_units(subject.model, [batch])
    except ValueError as error:  # a network without rectifiers has none
        return {"not_computed": str(error)}


def ood(subject: Subject, tell: Tell, request: EvaluationOptions, source: str, label: str) -> dict[str, Any]:
    """How well scores tell the test images from a source's; writes strips of what was detected and what was missed."""
    scores = request.chosen_scores
    outside = load_ood(source, subject.data_dir, subject.spec, seed=request.seed, limit=request.ood_images)
    ours, left_out = subject.scored(scores, request.ood_images)
    tell(0.4)
    view = subject.view(outside)
    theirs, faults = compute_scores(view, {name: scores[name] for name in ours})
    for name, fault in (left_out := left_out | faults).items():
        LOG.warning("%s is left out of %s: %s", name, source, fault)
    write_examples(subject, label, outside, view.logits)
    judged = {name: {**detection(ours[name], out), "roc": roc(ours[name], out)} for name, out in theirs.items()}
    inside = len(next(iter(ours.values())))
    said = {"left_out": left_out} if left_out else {}
    return {"images": len(outside), "inside": inside, "roc_fpr": list(ROC_FPR), "scores": judged, **said}


def attack(subject: Subject, tell: Tell, request: EvaluationOptions, label: str) -> dict[str, Any]:
    """Accuracy on the first test images, clean and attacked."""
    method = request.attack(label)
    found = _attacked(subject, tell, method, request.attack_images, request.seed)
    return {"attack": label.partition(":")[0], "options": dataclasses.asdict(method), **found}


def robust_curve(subject: Subject, tell: Tell, request: EvaluationOptions, label: str) -> dict[str, Any]:
    """Robust accuracy at several eps, on fewer images; at 0 it is the clean one."""
    robust: list[Any] = []
    for number, eps in enumerate(request.eps):
        method = dataclasses.replace(request.attack(label), eps=eps)
        share = _share(tell, number, len(request.eps))
        found = _attacked(subject, share, method, request.curve_images, request.seed)
        robust = [*(robust or [found["clean"]]), found["robust"]]
    return {"eps": [0.0, *request.eps], "robust": robust, "images": found["images"]}


def _attacked(subject: Subject, tell: Tell, method: Any, images: int, seed: int) -> dict[str, Any]:
    some = data.first(subject.splits.test, images)
    return robust_accuracy(
        subject.model,
        subject.spec,
        some.images,
        some.labels,
        method,
        batch_size=_ATTACK_BATCH,
        seed=seed,
        progress=lambda done: tell(done / len(some)),
    )


def _share(tell: Tell, number: int, of: int) -> Tell:
    return lambda done: tell((number + done) / of)


class Shared:
    """Corrupted images that several runs are shown; those of the data set seen last are kept.

    Args:
        keep: Whether there are several runs.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._of = ""
        self._variants: list[Variant] = []

    def corrupted(self, subject: Subject, request: EvaluationOptions) -> Iterator[Variant]:
        """Every corruption of the subject's test images at every severity."""
        if self._of == subject.fingerprint:
            yield from self._variants
            return
        made: list[Variant] = []
        names = [name for name in CORRUPTIONS if subject.spec.channels == 3 or name != "saturate"]
        limit, seed = request.corruption_images, request.seed
        for variant in corrupted(subject.splits.test, names, official=request.official, limit=limit, seed=seed):
            made += [variant] if self._keep else []
            yield variant
        self._of, self._variants = (subject.fingerprint, made) if self._keep else ("", [])


def corruptions(subject: Subject, tell: Tell, request: EvaluationOptions, shared: Shared) -> dict[str, Any]:
    """Errors on the 15 + 4 corruptions of CIFAR-C."""

    def told() -> Iterator[Variant]:
        for number, variant in enumerate(shared.corrupted(subject, request)):
            tell(number / (5 * len(CORRUPTIONS)))
            yield variant

    found = corruption_errors(subject.model, subject.spec, told(), batch_size=EVALUATION_BATCH)
    return {"source": "official" if request.official else "regenerated", **found}
