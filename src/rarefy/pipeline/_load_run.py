"""Loads a finished run as a network that is ready to predict; the data set need not be there."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from rarefy import data, models
from rarefy.config import Config
from rarefy.errors import InvalidInput
from rarefy.paths import RunPaths
from rarefy.pipeline._build import EVALUATION_BATCH
from rarefy.pipeline._find_run import find_run
from rarefy.pipeline._folder import RunError
from rarefy.records import Record, read
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, load

_PROCESS = os.getpid()  # the process that imported torch; a fork has another number


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network with what is needed to use it: `load_run` makes it.

    Attributes:
        folder: The run's folder.
        record: Its record.
        spec: Shapes, classes and normalisation of its data.
        model: The network in evaluation mode; takes what `preprocess` returns and gives logits ``[N, classes]``.
        sparsity: Its masks.
    """

    folder: Path
    record: Record
    spec: data.Spec
    model: nn.Module
    sparsity: Sparsity

    @property
    def config(self) -> Config:
        """The run's config."""
        return Config.from_values(self.record.config)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of an image."""
        return self.spec.channels, self.spec.height, self.spec.width

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; their numbers if they have no names."""
        return self.spec.class_names or tuple(map(str, range(self.spec.classes)))

    def preprocess(self, images: Tensor | numpy.ndarray) -> Tensor:
        """Normalises images as they were in training.

        Args:
            images: uint8 ``[N, C, H, W]`` of the run's shape, or an array ``[N, H, W, C]``; one image without N, grey
                images without C. For a network of a table: its rows ``[N, columns]``, numbers of any type.

        Returns:
            float32 ``[N, C, H, W]``, on the model's device.

        Raises:
            InvalidInput: If they are not uint8, or of another shape; `rarefy.data.fit_images` resizes.
        """
        pixels = _order_images(images, self.shape)
        device = next((parameter.device for parameter in self.model.parameters()), pixels.device)
        return self.spec.normalize(pixels.to(device).float() / 255)

    @torch.no_grad()
    def predict(self, images: Tensor | numpy.ndarray) -> Tensor:
        """Computes the probability of each class.

        A forked process computes with one thread: the parent's OpenMP threads do not exist there, and waiting for them
        would never end.

        Args:
            images: As for `preprocess`.

        Returns:
            float32 ``[N, classes]``, on the CPU; each row sums to 1.

        Raises:
            InvalidInput: As `preprocess`.
        """
        if os.getpid() != _PROCESS:
            torch.set_num_threads(1)
        pixels = _order_images(images, self.shape)
        logits = [self.model(self.preprocess(part)).float().cpu() for part in torch.split(pixels, EVALUATION_BATCH)]
        return torch.cat(logits).softmax(1)


def load_run(
    run: Path | str, *, device: torch.device | str = "cpu", data_dir: Path | str | None = None
) -> TrainedNetwork:
    """Loads the network of a finished run, ready to predict.

    The record holds all that is needed: the data set need not be there.

    Args:
        run: The run's folder, or the name of a published network: ``cifar10/resnet20-erk-0.1``.
        device: Where the network is put.
        data_dir: Folder of the data sets, read only for a record of an older version that does not hold the shapes and
            classes of its data, if these are not constants either (imagenet).

    Returns:
        The network, its preprocessing and its record.

    Raises:
        MissingFile: If there is no such folder, or it holds no weights.
        RunError: If the folder is not that of one finished run, or the record does not say what to build.
        RecordError: If the record is damaged.
        CheckpointMismatch: If the weights are damaged, or belong to another run.

    Example:
        >>> import tempfile, rarefy
        >>> config = rarefy.Config.from_values({"data": "digits", "model": "mlp_16", "training": {"epochs": 1}})
        >>> out = Path(tempfile.mkdtemp())
        >>> record = rarefy.run(config, out=out)
        >>> network = load_run(out / record.id)
        >>> images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
        >>> network.predict(images).shape, network.model(network.preprocess(images)).shape
        (torch.Size([2, 10]), torch.Size([2, 10]))
    """
    paths = find_run(run)
    record = read(paths.record)
    config = Config.from_values(record.config)
    models.require_allowed(config.model.name)
    spec = _find_spec(paths, record, config, data_dir)
    model = build_untrained(config, spec).to(device)
    sparsity = load(model, paths.model)
    _require_own_weights(paths, record, sparsity)
    return TrainedNetwork(paths.folder, record, spec, model.eval(), sparsity)


def build_untrained(config: Config, spec: data.Spec) -> nn.Module:
    """Builds the dense network of a config as it is before training, on the CPU."""
    return models.build(
        models.parse(config.model.name, **config.model.options),
        in_channels=spec.channels,
        classes=spec.classes,
        size=(spec.height, spec.width),
        generator=Streams(config.seed)("init"),
    )


def _find_spec(paths: RunPaths, record: Record, config: Config, data_dir: Path | str | None) -> data.Spec:
    """Finds the spec of a run's data: in its record, among the constants of its data set, or in the data."""
    if record.spec is not None:
        return data.Spec(**record.spec.model_dump())
    dataset = data.parse(config.data.name, **config.data.options)
    if isinstance(spec := getattr(dataset, "spec", None), data.Spec):
        return spec
    if data_dir is not None:
        return data.load(dataset, Path(data_dir), Streams(config.seed)("split"), workers=0).spec
    raise RunError(
        f"The record of {paths.folder} was written by an older version and does not hold the channels, size and "
        f"classes of {config.data.name}, which depend on the files. Name the folder of the data: "
        "load_run(..., data_dir=DIR), on the command line --data-dir DIR."
    )


def _require_own_weights(paths: RunPaths, record: Record, sparsity: Sparsity) -> None:
    """Raises RunError if the masks of the weights are not those of the record."""
    known, checksum = record.masks.get("checksum"), sparsity.masks.checksum()
    if known is not None and known != checksum:
        raise RunError(
            f"{paths.model} belongs to another run: its masks have the checksum {checksum}, {paths.record.name} says "
            f"{known}. Copy both files of one run."
        )


def _order_images(images: Tensor | numpy.ndarray, shape: tuple[int, int, int]) -> Tensor:
    """Checks images and orders their axes as uint8 [N, C, H, W]; rows of a table become float32 [N, columns, 1, 1]."""
    if shape[1:] == (1, 1) and tuple(images.shape[1:]) in (shape[:1], shape):
        return torch.as_tensor(images).float().view(-1, *shape)
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise InvalidInput(
            f"Images are uint8, with values 0 to 255; these are {images.dtype}. If they are fractions in [0, 1]: "
            "(images * 255).round() as uint8. What is normalised already goes into the model itself.",
            name="images",
            value=images.dtype,
        )
    pixels = images if isinstance(images, Tensor) else torch.from_numpy(numpy.require(images, requirements=("C", "W")))
    channels, height, width = shape
    if pixels.shape[-3:] != shape and tuple(pixels.shape[-3:]) == (height, width, channels):
        pixels = pixels.movedim(-1, -3)
    elif channels == 1 and pixels.shape[-2:] == (height, width) and pixels.shape[-3:] != shape:
        pixels = pixels.unsqueeze(-3)
    pixels = pixels.unsqueeze(0) if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[1:] != shape:
        raise InvalidInput(
            f"The network takes images [N, {channels}, {height}, {width}] or [N, {height}, {width}, {channels}]; these "
            f"are {list(images.shape)}. rarefy.data.fit_images(images, network.spec) converts sizes and colours.",
            name="images",
            value=tuple(images.shape),
        )
    return pixels.contiguous()
