"""Corruptions by name; corrupts images and measures errors on them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from rarefy.data import AnySplit, Batches, Spec, Split, take_first
from rarefy.errors import InvalidInput
from rarefy.evaluation._frozen import get_device
from rarefy.evaluation._predictions import predict
from rarefy.evaluation.corruptions import blur, digital, noise, weather
from rarefy.evaluation.corruptions._official import load_official
from rarefy.evaluation.corruptions._tools import Corruption
from rarefy.registry import make_unknown_error, normalize_name
from rarefy.rng import derive_seed

_COMMON: tuple[Corruption, ...] = (
    *(noise.gaussian_noise, noise.shot_noise, noise.impulse_noise),
    *(blur.defocus_blur, blur.glass_blur, blur.motion_blur, blur.zoom_blur),
    *(weather.snow, weather.frost, weather.fog, weather.brightness),
    *(digital.contrast, digital.elastic_transform, digital.pixelate, digital.jpeg_compression),
)
_EXTRA: tuple[Corruption, ...] = (noise.speckle_noise, blur.gaussian_blur, weather.spatter, digital.saturate)
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {function.__name__: function for function in (*_COMMON, *_EXTRA)}
)
COMMON = tuple(function.__name__ for function in _COMMON)  # the 15 of the mean corruption error
EXTRA = tuple(function.__name__ for function in _EXTRA)  # the 4 for choosing hyperparameters
SEVERITIES = (1, 2, 3, 4, 5)
PART = 500  # images corrupted at once: bounds the memory
Variant = tuple[str, int, Split]  # name, severity, images


def corrupt(images: Tensor, name: str, severity: int, *, seed: int = 0) -> Tensor:
    """Corrupts images ("regenerated").

    Images are corrupted in parts of 500; the result of a part does not depend on the parts after it. As in the official
    files, values are truncated, not rounded, to whole levels.

    Args:
        images: uint8 ``[N, C, H, W]``, C = 1 or 3 (``saturate``: 3).
        name: One of ``CORRUPTIONS``.
        severity: 1 to 5; the published strengths are for 32 x 32 pixels.
        seed: Root seed of the random numbers.
    Returns:
        uint8 ``[N, C, H, W]`` on the same device.
    Raises:
        UnknownName: If there is no such corruption.
        ValueError: If the severity is not 1 to 5, or the images are not uint8 with 1 or 3 channels.

    Example:
        >>> images = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
        >>> corrupt(images, "brightness", 5).unique()
        tensor([176], dtype=torch.uint8)

    References:
        Hendrycks and Dietterich, 2019, arXiv:1903.12261, section 4.1; strengths: the authors' code for CIFAR-10-C.
    """
    corruption = CORRUPTIONS[_resolve_name(name)]
    _check(images, severity)
    parts = []
    for number, part in enumerate(torch.split(images, PART)):
        random = np.random.Generator(
            np.random.PCG64(derive_seed(seed, "corruption", corruption.__name__, severity, number))
        )
        pixels = part.cpu().numpy().astype(np.float32) / 255
        # Plus a thousandth of a level, so that rounding errors do not truncate 100 / 255 * 255 to 99.
        levels = corruption(pixels, severity, random).clip(0, 1) * 255 + 1e-3
        parts.append(torch.from_numpy(levels.astype(np.uint8)))
    return torch.cat(parts).to(images.device)


def iterate_corruptions(
    split: AnySplit,
    names: Sequence[str] = COMMON,
    severities: Sequence[int] = SEVERITIES,
    *,
    official: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[Variant]:
    """Iterates over corrupted test images by corruption and severity; each variant is made or read when needed.

    Args:
        split: Test images, uncorrupted; not read when ``official`` is given.
        names: Corruptions.
        severities: Severities.
        official: Folder of the official files (CIFAR-10-C); None regenerates the images from the split.
        limit: Number of first images of the split or of each severity; None: all.
        seed: Root seed of regenerated images.
    Returns:
        Iterator of (name, severity, images), with all severities of a corruption in a row.
    Raises:
        UnknownName: If there is no such corruption.
        MissingData: If an official file does not exist (when it is reached).
        ValueError: If a severity, the limit or the images cannot be used.

    Example:
        >>> split = Split(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
        >>> variants = iterate_corruptions(split, ["fog"], [1, 5], limit=2)
        >>> [(name, severity, len(images)) for name, severity, images in variants]
        [('fog', 1, 2), ('fog', 5, 2)]
    """
    names = [_resolve_name(name) for name in names]
    if not names or not severities or (limit is not None and limit < 1):
        raise InvalidInput("Name at least one corruption and one severity, and a limit of at least 1 or none.")

    clean = functools.cache(lambda: take_first(split, limit))

    def make_variant(name: str, severity: int) -> Split:
        if official is not None:
            return load_official(Path(official), name, severity, limit)
        return Split(corrupt(clean().images, name, severity, seed=seed), clean().labels)

    return ((name, severity, make_variant(name, severity)) for name in names for severity in severities)


def compute_corruption_errors(
    model: nn.Module, spec: Spec, variants: Iterable[Variant], *, batch_size: int = 256
) -> dict[str, object]:
    """Computes the errors of a model on corrupted test images.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The data set.
        variants: Result of `iterate_corruptions`, or a list of it to use for several models.
        batch_size: Images per batch.
    Returns:
        ``images``, the number per variant; ``severities``; ``errors``, by name one error per severity, in [0, 1];
        ``mean_error``, see `compute_mean_corruption_error`; None if no corruption is in ``COMMON``.
    Raises:
        ValueError: If there are no variants.

    Example:
        >>> spec = Spec("dots", classes=2, channels=3, height=4, width=4, mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> split = Split(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        >>> compute_corruption_errors(net, spec, iterate_corruptions(split, ["fog"], [1, 5]))["severities"]
        [1, 5]
    """
    device = get_device(model)
    errors: dict[str, list[float]] = {}
    levels: dict[int, None] = {}
    images = 0
    for name, severity, split in variants:
        predictions = predict(model, Batches(split.to(device), spec, batch_size).epoch(0))
        errors.setdefault(name, []).append(
            int((predictions.logits.argmax(1) != predictions.labels).sum()) / len(predictions)
        )
        levels[severity], images = None, len(predictions)
    if not errors:
        raise InvalidInput("There are no corrupted images: name at least one corruption and one severity.")
    common = {name: values for name, values in errors.items() if name in COMMON}
    mean = compute_mean_corruption_error(common) if common else None
    return {"images": images, "severities": list(levels), "errors": errors, "mean_error": mean}


def compute_mean_corruption_error(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]] | None = None
) -> float:
    """Computes the mean over corruptions of the error averaged over severities, relative to a baseline if given.

    Args:
        errors: By corruption, one error per severity.
        baseline: Errors of another model, by which each corruption's error is divided before the mean.
    Returns:
        The mean, in [0, 1]; with a baseline 1 for an equally good model.
    Raises:
        ValueError: If there are no errors, names or severities differ, or the baseline makes no error.

    Example:
        >>> compute_mean_corruption_error({"fog": [0.2, 0.4], "snow": [0.4, 0.6]})
        0.4
        >>> compute_mean_corruption_error({"fog": [0.2, 0.4]}, baseline={"fog": [0.4, 0.8]})
        0.5

    References:
        Hendrycks and Dietterich, 2019, arXiv:1903.12261, section 4.2 (mCE); on CIFAR-10-C it is not divided.
    """
    if not errors or not all(map(len, errors.values())):
        raise InvalidInput("The mean corruption error needs at least one corruption with one error a severity.")
    means = {name: sum(values) / len(values) for name, values in errors.items()}
    if baseline is not None:
        if {name: len(v) for name, v in errors.items()} != {name: len(v) for name, v in baseline.items()}:
            raise InvalidInput("The baseline must have the same corruptions and severities as the errors.")
        totals = {name: sum(values) / len(values) for name, values in baseline.items()}
        if not all(totals.values()):
            raise InvalidInput("The baseline makes no error on some corruption; nothing is relative to 0.")
        means = {name: mean / totals[name] for name, mean in means.items()}
    return sum(means.values()) / len(means)


def _resolve_name(name: str) -> str:
    by_key = {normalize_name(known): known for known in CORRUPTIONS}
    if normalize_name(name) not in by_key:
        raise make_unknown_error("corruption", name, CORRUPTIONS)
    return by_key[normalize_name(name)]


def _check(images: Tensor, severity: int) -> None:
    if severity not in SEVERITIES:
        raise InvalidInput(f"A severity is 1, 2, 3, 4 or 5; got {severity}.", name="severity", value=severity)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise InvalidInput(
            f"Corruptions need uint8 images [N, C, H, W] with 1 or 3 channels; got {images.dtype} {list(images.shape)}."
        )
