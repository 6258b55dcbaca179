"""Schema of ``record.json``. Fractions are in [0, 1], times in seconds."""

from __future__ import annotations

from typing import Any

import pydantic

SCHEMA_VERSION = 1
"""Increases when a field changes its meaning or is removed, not when fields are added."""


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class LayerCount(_Frozen):
    """One prunable weight, counted from its mask.

    Example:
        >>> LayerCount(name="fc.weight", shape=(10, 64), kept=32, density=0.05).kept
        32
    """

    name: str = pydantic.Field(description="Parameter name of the weight, as in the model's state_dict.")
    shape: tuple[int, ...] = pydantic.Field(description="Shape of the weight.")
    kept: int = pydantic.Field(description="Weights kept, counted from the mask at the end of the run.")
    density: float = pydantic.Field(description="kept / number of weights in the layer.")


class Params(_Frozen):
    """Weights of the whole network.

    Example:
        >>> Params(total=270896, kept=13545, all=272474).kept
        13545
    """

    total: int = pydantic.Field(description="Prunable weights (convolution and linear).")
    kept: int = pydantic.Field(description="Prunable weights kept, counted from the masks.")
    all: int = pydantic.Field(description="All parameters of the dense network, biases and norms included.")


class Epoch(pydantic.BaseModel):
    """One epoch: a line of ``history.jsonl``. Topologies and callbacks add fields under documented names.

    Example:
        >>> Epoch(epoch=1, train_loss=1.9, train_accuracy=0.3, lr=0.1, seconds=40.0, data_seconds=0.5).epoch
        1
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    epoch: int = pydantic.Field(description="Number of the epoch, from 1.")
    train_loss: float = pydantic.Field(
        description="Mean training loss over the epoch's images, label smoothing included."
    )
    train_accuracy: float = pydantic.Field(
        description="Fraction of training images classified correctly, as augmented."
    )
    validation_loss: float | None = pydantic.Field(None, description="Mean cross-entropy on the validation split.")
    validation_accuracy: float | None = pydantic.Field(None, description="Accuracy on the validation split.")
    lr: float = pydantic.Field(description="Learning rate of the epoch's last step.")
    seconds: float = pydantic.Field(description="Wall time of the epoch's training steps.")
    data_seconds: float = pydantic.Field(description="Of these, time spent waiting for batches.")
    exploration_rate: float | None = pydantic.Field(
        None,
        description="Fraction of prunable weights ever kept since the start (ITOP's R_s); the density where static.",
    )
    effective_density: float | None = pydantic.Field(
        None,
        description="With --diagnostics: fraction of weights that are not 0 and lie on a path from input to output.",
    )
    gradient_norm_kept: float | None = pydantic.Field(
        None, description="With --diagnostics: norm of the epoch's last dense gradient over kept weights."
    )
    gradient_norm_pruned: float | None = pydantic.Field(
        None, description="With --diagnostics: the same over pruned weights."
    )
    mask_overlap: float | None = pydantic.Field(
        None, description="With --diagnostics: Jaccard index of the masks before and after their last update."
    )
    active_outputs: float | None = pydantic.Field(
        None, description="With --diagnostics: fraction of output units (filters, neurons) with a kept weight."
    )
    active_inputs: float | None = pydantic.Field(None, description="With --diagnostics: the same of input units.")


class Timing(_Frozen):
    """Times and memory of the run on the machine of `environment`.

    Example:
        >>> Timing(seconds_per_epoch=40.0, data_seconds=0.5, images_per_second=1125.0, peak_memory_bytes=1).data_seconds
        0.5
    """

    seconds_per_epoch: float = pydantic.Field(description="Median wall time of an epoch's training steps.")
    data_seconds: float = pydantic.Field(description="Median time per epoch waiting for batches.")
    images_per_second: float = pydantic.Field(description="Training images per second, median over epochs.")
    peak_memory_bytes: int | None = pydantic.Field(
        description="Largest memory: of the process (CPU, resident) or allocated on the device (CUDA)."
    )


class BestEpoch(_Frozen):
    """The epoch with the highest validation accuracy, tested in addition to the last one.

    Example:
        >>> BestEpoch(epoch=91, validation_accuracy=0.886, test={"accuracy": 0.8771}).epoch
        91
    """

    epoch: int = pydantic.Field(description="Number of the epoch, from 1; the first if several are equal.")
    validation_accuracy: float = pydantic.Field(description="Its accuracy on the validation split.")
    test: dict[str, Any] = pydantic.Field(description="Scores of its weights on the test split, as in `metrics`.")


class DataSpec(_Frozen):
    """What the network was trained on: all that is needed to build it and to prepare images for it.

    Example:
        >>> DataSpec(name="dots", classes=2, channels=1, height=8, width=8, mean=(0.5,), std=(0.25,)).resize
        'stretch'
    """

    name: str = pydantic.Field(description="Name of the data set.")
    classes: int = pydantic.Field(description="Number of classes.")
    channels: int = pydantic.Field(description="Channels of an image.")
    height: int = pydantic.Field(description="Height in pixels.")
    width: int = pydantic.Field(description="Width in pixels.")
    mean: tuple[float, ...] = pydantic.Field(description="Mean of each channel, for pixels in [0, 1].")
    std: tuple[float, ...] = pydantic.Field(description="Standard deviation of each channel, for pixels in [0, 1].")
    class_names: tuple[str, ...] = pydantic.Field((), description="A name for each class, or none.")
    resize: str = pydantic.Field("stretch", description="How a picture of another size is resized: stretch or crop.")
    columns: tuple[str, ...] = pydantic.Field((), description="Names of the columns of a table, one per channel.")


class Record(_Frozen):
    """A run: its config, kept weights, history and scores.

    Example:
        >>> sorted(Record.model_fields)[:3]
        ['best_epoch', 'config', 'created']
    """

    schema_version: int = pydantic.Field(SCHEMA_VERSION, description="Version of this schema.")
    id: str = pydantic.Field(description="Hash of every resolved value of the config; the name of the run's folder.")
    name: str = pydantic.Field("", description="What its user calls it (--name); not part of the id.")
    created: str = pydantic.Field(description="When the run ended, ISO 8601, UTC.")
    config: dict[str, Any] = pydantic.Field(description="Every resolved value; `rarefy train --config` accepts it.")
    versions: dict[str, str] = pydantic.Field(description="rarefy, Python, torch, numpy.")
    environment: dict[str, Any] = pydantic.Field(description="Machine, processor, device, threads, operating system.")
    layers: tuple[LayerCount, ...] = pydantic.Field(description="Prunable weights in registration order.")
    density: float = pydantic.Field(description="params.kept / params.total, counted, not the requested one.")
    params: Params = pydantic.Field(description="Weights of the whole network.")
    masks: dict[str, Any] = pydantic.Field(description="Checksum of the masks, and their seed while they are as drawn.")
    engine: dict[str, Any] = pydantic.Field(description="How masked layers computed; the plan an `auto` engine chose.")
    history: tuple[Epoch, ...] = pydantic.Field(description="One entry per epoch.")
    selected_epoch: int = pydantic.Field(description="Epoch whose weights were saved and tested.")
    metrics: dict[str, dict[str, Any]] = pydantic.Field(description="`test`: see `Metrics`.")
    best_epoch: BestEpoch | None = pydantic.Field(
        None, description="The best validation epoch and its test scores, if the last epoch is the selected one."
    )
    timing: Timing = pydantic.Field(description="Times and memory of the run.")
    spec: DataSpec | None = pydantic.Field(
        None, description="Shapes, classes and normalisation of the data; null in records of older versions."
    )
    fingerprint: str | None = pydantic.Field(
        None, description="Of the data; null if they follow from the seed, or in records of older versions."
    )
    notes: tuple[str, ...] = pydantic.Field((), description="Warnings of the run, each once.")
    files: dict[str, int] = pydantic.Field(description="Bytes on disk of the run's model files, by name.")
    skipped_images: dict[str, int] = pydantic.Field(
        {}, description="By split: images that --skip-bad-images left out since the run was last started, if any."
    )
