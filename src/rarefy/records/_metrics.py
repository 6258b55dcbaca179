"""What `rarefy eval` adds to a record, below ``metrics.test``: each part if it was computed, and metrics of users."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import Field

from rarefy.records._metric_info import MetricInfo

Interval = tuple[float, float]


class _Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="allow")


class PerClass(_Open):
    """Accuracy class by class.

    Example:
        >>> PerClass(images=(2, 0), accuracy=(0.5, None), interval=((0.09, 0.91), None)).accuracy
        (0.5, None)
    """

    images: tuple[int, ...] = Field(description="Test images of each class.")
    accuracy: tuple[float | None, ...] = Field(description="Share of them that is classified right; null of none.")
    interval: tuple[Interval | None, ...] = Field(description="Its 95% interval (Wilson), [low, high].")


class Reliability(_Open):
    """The bars of a reliability diagram: 15 bins of equal width by confidence, the least confident first.

    Example:
        >>> Reliability(images=(4, 0), confidence=(0.4, None), accuracy=(0.5, None)).images
        (4, 0)
    """

    images: tuple[int, ...] = Field(description="Test images in each bin.")
    confidence: tuple[float | None, ...] = Field(description="Their mean confidence; null in an empty bin.")
    accuracy: tuple[float | None, ...] = Field(description="Share of them that is classified right; null likewise.")


class CalibrationErrors(_Open):
    """How far confidence is from accuracy on the test split.

    Example:
        >>> CalibrationErrors(ece=0.05, loss=0.6, brier=0.3).ece
        0.05
    """

    ece: float = Field(description="Expected calibration error: 15 bins of equal width.")
    ece_mass: float | None = Field(None, description="The same with 15 bins of equally many images.")
    classwise_ece: float | None = Field(None, description="The same of each class's probability, mean over classes.")
    loss: float = Field(description="Mean cross-entropy (negative log-likelihood, natural logarithm).")
    brier: float = Field(description="Brier score: mean over images of the squared distance to the one-hot label.")
    reliability: Reliability | None = Field(None, description="The reliability diagram.")


class Calibration(_Open):
    """Calibration before and after temperature scaling.

    Example:
        >>> errors = CalibrationErrors(ece=0.05, loss=0.6, brier=0.3)
        >>> Calibration(temperature=1.5, before=errors, after=errors).temperature
        1.5
    """

    temperature: float = Field(description="What divides the logits; fitted on the validation split.")
    before: CalibrationErrors = Field(description="Of the model as it is.")
    after: CalibrationErrors = Field(description="Of its logits divided by the temperature.")


class OodScore(_Open):
    """How well a score tells a source's images from the test images.

    Example:
        >>> OodScore(auroc=0.9, aupr_in=0.9, aupr_out=0.8, fpr95=0.4, roc=(0.0, 0.7, 1.0)).auroc
        0.9
    """

    auroc: float = Field(description="Area under the ROC curve; 0.5 is chance.")
    aupr_in: float = Field(description="Average precision with the test images as the positives.")
    aupr_out: float = Field(description="Average precision with the source's images as the positives.")
    fpr95: float = Field(description="Share of the source's images accepted where 95% of the test images are.")
    roc: tuple[float, ...] | None = Field(None, description="Share of test images accepted at each of `roc_fpr`.")


class OodSource(_Open):
    """One source of images from elsewhere.

    Example:
        >>> OodSource(images=1083, inside=10000, scores={}).images
        1083
    """

    images: int = Field(description="Images of the source.")
    inside: int = Field(description="Test images they were told from.")
    roc_fpr: tuple[float, ...] | None = Field(None, description="Shares of the source's images accepted, ascending.")
    scores: dict[str, OodScore] = Field(description="By name of the score, such as `max_softmax`.")
    left_out: dict[str, str] | None = Field(None, description="Why scores that were asked for could not be computed.")


class AttackResult(_Open):
    """Accuracy under one attack.

    Example:
        >>> AttackResult(attack="fgsm", options={"eps": 0.03}, clean=0.8, robust=0.1, images=1000).robust
        0.1
    """

    attack: str = Field(description="Name of the attack.")
    options: dict[str, Any] = Field(description="All of its options; distances in pixel units, [0, 1].")
    clean: float = Field(description="Accuracy on the same images as they are.")
    clean_interval: Interval | None = Field(None, description="Its 95% interval (Wilson), [low, high].")
    robust: float = Field(description="Share of images classified right both as they are and attacked.")
    robust_interval: Interval | None = Field(None, description="Its 95% interval (Wilson), [low, high].")
    images: int = Field(description="Images attacked: the first of the test split.")


class RobustCurve(_Open):
    """Accuracy against the size of an attack.

    Example:
        >>> RobustCurve(eps=(0.0, 0.03), robust=(0.8, 0.1), images=200).robust[0]
        0.8
    """

    eps: tuple[float, ...] = Field(description="Largest distances in pixel units, ascending.")
    robust: tuple[float, ...] = Field(description="Robust accuracy at each of them.")
    images: int = Field(description="Images attacked.")


class Corruptions(_Open):
    """Errors on corrupted test images.

    Example:
        >>> Corruptions(source="regenerated", images=9, severities=(1, 5), errors={"fog": (0.2, 0.4)}).mean_error
    """

    source: str = Field(description="`official` (the published files) or `regenerated` from the test images.")
    images: int = Field(description="Images of each corruption and severity.")
    severities: tuple[int, ...] = Field(description="Severities, from 1 (mild) to 5.")
    errors: dict[str, tuple[float, ...]] = Field(description="By corruption: one error a severity.")
    mean_error: float | None = Field(
        None, description="Mean over severities and those of the 15 common corruptions that were computed."
    )
    relative_to: dict[str, float] = Field(
        default_factory=dict, description="By id of a dense run: mean over corruptions of the error over that run's."
    )


class Weights(_Open):
    """Weights of the network, counted.

    Example:
        >>> Weights(all=272474, prunable=270896, kept=13545).kept
        13545
    """

    all: int = Field(description="All parameters of the dense network, biases and norms included.")
    prunable: int = Field(description="Prunable weights (convolution and linear).")
    kept: int = Field(description="Prunable weights kept.")


class Flops(_Open):
    """Floating-point operations, 2 per multiply-add, of the prunable layers.

    Example:
        >>> Flops(dense=1000, kept=100).kept
        100
    """

    dense: int | float = Field(description="With all weights.")
    kept: int | float = Field(description="With the kept weights: dense FLOPs of each layer times its density.")
    layers: dict[str, Flops] | None = Field(None, description="By parameter name; of the forward pass only.")


class Latency(_Open):
    """Time of one forward pass.

    Example:
        >>> Latency(seconds=0.003, engine="masked").seconds
        0.003
    """

    seconds: float = Field(description="Median wall time.")
    quartiles: Interval | None = Field(None, description="First and third quartile of the wall times.")
    rounds: int | None = Field(None, description="How many passes were timed.")
    engine: str | None = Field(None, description="The engine that computed it.")


class ModelBytes(_Open):
    """Sizes on disk.

    Example:
        >>> ModelBytes(model=131072, dense=1100000).model
        131072
    """

    model: int = Field(description="The run's compact checkpoint.")
    dense: int = Field(description="The same network with all weights.")


class CostSummary(_Open):
    """What a run keeps, computes, stores and takes; times and memory on the machine that evaluated.

    Example:
        >>> CostSummary(flops=Flops(dense=1000, kept=100)).flops.dense
        1000
    """

    parameters: Weights | None = Field(None, description="Weights, counted.")
    flops: Flops | None = Field(None, description="One image's forward pass.")
    training_flops: Flops | None = Field(
        None, description="One image and training step, averaged over the topology's interval."
    )
    bytes: ModelBytes | None = Field(None, description="Sizes on disk.")
    latency: dict[str, Latency] = Field(default_factory=dict, description="By batch size.")
    peak_memory_bytes: dict[str, int] = Field(default_factory=dict, description="Peak activation memory by batch size.")
    threads: int | None = Field(None, description="Threads that latency was measured with.")


class GradientNorm(_Open):
    """L2 norm of the gradient of the mean cross-entropy over kept weights.

    Example:
        >>> GradientNorm(total=5.0, layers={"fc1.weight": 3.0, "fc2.weight": 4.0}).total
        5.0
    """

    total: float = Field(description="Over all kept weights: the root of the layers' summed squares.")
    layers: dict[str, float] = Field(description="By parameter name.")


class Flow(_Open):
    """Gradient flow and topology.

    Example:
        >>> Flow(dead_units={"units": 10, "dead": 1, "fraction": 0.1}).dead_units["fraction"]
        0.1
    """

    images: int | None = Field(None, description="Class-balanced training images that it was computed on.")
    gradient_norm: dict[str, GradientNorm] = Field(
        default_factory=dict, description="`initial`: before training, as its first step sees it; `final`: after it."
    )
    effective_density: dict[str, Any] | None = Field(
        None, description="Numbers of weights in `total`, `kept` and `effective`, and the two densities they make."
    )
    dead_units: dict[str, Any] | None = Field(
        None, description="`units` of rectifiers, those `dead` on a sample, their `fraction`, and it by rectifier."
    )
    hessian: dict[str, Any] | None = Field(None, description="`eigenvalue` of the largest magnitude, if asked for.")
    landscape: dict[str, Any] | None = Field(None, description="`loss` `at` points along a line, if asked for.")


class Computed(_Open):
    """When and how a part was computed.

    Example:
        >>> Computed(seconds=12.3, options={"limit": 1000}).seconds
        12.3
    """

    seconds: float = Field(description="How long it took.")
    options: dict[str, Any] = Field(description="What it was computed with: limits, seeds and the like.")


class Metrics(_Open):
    """``metrics.test``: metrics on the test split. `rarefy train` writes accuracy and loss, `rarefy eval` the others.

    Example:
        >>> Metrics.model_validate({"accuracy": 0.8, "loss": 0.6, "my_metric": 3}).model_extra
        {'my_metric': 3}
    """

    accuracy: float = Field(description="Share of test images classified right.")
    loss: float = Field(description="Mean cross-entropy (negative log-likelihood, natural logarithm).")
    images: int | None = Field(None, description="Test images.")
    accuracy_interval: Interval | None = Field(None, description="The accuracy's 95% interval (Wilson), [low, high].")
    top5: float | None = Field(None, description="Share of images whose class is among the five likeliest.")
    class_names: tuple[str, ...] | None = Field(None, description="Names of the classes, if they have any.")
    per_class: PerClass | None = Field(None, description="Accuracy class by class.")
    confusion: tuple[tuple[int, ...], ...] | None = Field(
        None, description="Images by class (row) and answer (column)."
    )
    calibration: Calibration | None = Field(None, description="Calibration before and after temperature scaling.")
    ood: dict[str, OodSource] = Field(default_factory=dict, description="By source: images from elsewhere.")
    attacks: dict[str, AttackResult] = Field(default_factory=dict, description="By attack, as it was typed.")
    robust_curve: dict[str, RobustCurve] = Field(
        default_factory=dict, description="By name of the attack: accuracy against eps."
    )
    corruptions: Corruptions | None = Field(None, description="Errors on corrupted test images.")
    cost: CostSummary | None = Field(None, description="What the run keeps, computes, stores and takes.")
    flow: Flow | None = Field(None, description="Gradient flow and topology.")
    evaluated: dict[str, Computed] = Field(default_factory=dict, description="By part: when and how it was computed.")
    described: dict[str, MetricInfo] = Field(default_factory=dict, description="Metrics of plug-ins, by name.")
