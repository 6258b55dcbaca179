"""The corruptions by name, and the verbs."""

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
from rarefy.evaluation._frozen import device_of
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
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({made.__name__: made for made in (*_COMMON, *_EXTRA)})
COMMON = tuple(made.__name__ for made in _COMMON)  # the 15 the mean corruption error is over
EXTRA = tuple(made.__name__ for made in _EXTRA)  # the 4 held back for choosing hyperparameters
SEVERITIES = (1, 2, 3, 4, 5)
PART = 500  # images made at once: bounds the memory
Variant = tuple[str, int, Split]  # name, severity, images


def corrupt(images: Tensor, name: str, severity: int, *, seed: int = 0) -> Tensor:
    """Corrupts images ("regenerated").

    Image i comes out the same whatever the number of images after it, up to the part of 500 that it is in. As in the
    official files numbers are cut down, not rounded, to whole levels.

    Args:
        images: uint8 ``[N, C, H, W]``, C = 1 or 3 (``saturate``: 3).
        name: One of ``CORRUPTIONS``.
        severity: 1 to 5; the published strengths are for 32 x 32 pixels.
        seed: Root of the random numbers.
    Returns:
        uint8 ``[N, C, H, W]`` on the same device.
    Raises:
        UnknownName: If there is no such corruption.
        ValueError: If the severity is not 1 to 5 or the images are not bytes of 1 or 3 channels.

    Example:
        >>> images = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
        >>> corrupt(images, "brightness", 5).unique()
        tensor([176], dtype=torch.uint8)

    References:
        Hendrycks and Dietterich, 2019, arXiv:1903.12261, section 4.1; strengths: the authors' code for CIFAR-10-C.
    """
    made = CORRUPTIONS[_named(name)]
    _check(images, severity)
    parts = []
    for number, part in enumerate(torch.split(images, PART)):
        random = np.random.Generator(np.random.PCG64(derive_seed(seed, "corruption", made.__name__, severity, number)))
        pixels = part.cpu().numpy().astype(np.float32) / 255
        # A thousandth of a level against rounding: 100 / 255 * 255 must not be cut down to 99.
        levels = made(pixels, severity, random).clip(0, 1) * 255 + 1e-3
        parts.append(torch.from_numpy(levels.astype(np.uint8)))
    return torch.cat(parts).to(images.device)


def corrupted(
    split: AnySplit,
    names: Sequence[str] = COMMON,
    severities: Sequence[int] = SEVERITIES,
    *,
    official: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[Variant]:
    """Corrupted test images, one kind and severity after the other: made or read when they are asked for.

    Args:
        split: Test images, uncorrupted; not read when ``official`` is given.
        names: Corruptions.
        severities: Severities.
        official: The folder of the official files (CIFAR-10-C); None makes the images anew from the split.
        limit: The first so many images of the split or of each severity.
        seed: Root of the random numbers of regenerated images.
    Returns:
        (name, severity, images) for every pair, severity by severity of one corruption after the other.
    Raises:
        UnknownName: If there is no such corruption.
        MissingData: If an official file is not there (when its turn comes).
        ValueError: If a severity, the limit or the images cannot be used.

    Example:
        >>> split = Split(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
        >>> [(name, severity, len(images)) for name, severity, images in corrupted(split, ["fog"], [1, 5], limit=2)]
        [('fog', 1, 2), ('fog', 5, 2)]
    """
    names = [_named(name) for name in names]
    if not names or not severities or (limit is not None and limit < 1):
        raise InvalidInput("Name at least one corruption and one severity, and a limit of at least 1 or none.")

    clean = functools.cache(lambda: take_first(split, limit))

    def made(name: str, severity: int) -> Split:
        if official is not None:
            return load_official(Path(official), name, severity, limit)
        return Split(corrupt(clean().images, name, severity, seed=seed), clean().labels)

    return ((name, severity, made(name, severity)) for name in names for severity in severities)


def corruption_errors(
    model: nn.Module, spec: Spec, variants: Iterable[Variant], *, batch_size: int = 256
) -> dict[str, object]:
    """Error of a model on corrupted test images.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The data set.
        variants: What `corrupted` gives; a list of it can be shown to one model after the other.
        batch_size: Images at once.
    Returns:
        ``images``, how many of each kind; ``severities``; ``errors``, name to one error a severity, in [0, 1];
        ``mean_error``, see `mean_corruption_error`, None if no name is one of ``COMMON``.
    Raises:
        ValueError: If there are no variants.

    Example:
        >>> spec = Spec("dots", classes=2, channels=3, height=4, width=4, mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> split = Split(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        >>> corruption_errors(net, spec, corrupted(split, ["fog"], [1, 5]))["severities"]
        [1, 5]
    """
    device = device_of(model)
    errors: dict[str, list[float]] = {}
    levels: dict[int, None] = {}
    images = 0
    for name, severity, split in variants:
        found = predict(model, Batches(split.to(device), spec, batch_size).epoch(0))
        errors.setdefault(name, []).append(int((found.logits.argmax(1) != found.labels).sum()) / len(found))
        levels[severity], images = None, len(found)
    if not errors:
        raise InvalidInput("There are no corrupted images: name at least one corruption and one severity.")
    common = {name: values for name, values in errors.items() if name in COMMON}
    mean = mean_corruption_error(common) if common else None
    return {"images": images, "severities": list(levels), "errors": errors, "mean_error": mean}


def mean_corruption_error(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]] | None = None
) -> float:
    """Mean over corruptions of the error averaged over severities; relative to a baseline's when one is given.

    Args:
        errors: Name to one error a severity.
        baseline: The same of another model; each corruption's error is divided by this model's before the mean.
    Returns:
        The mean; without a baseline in [0, 1], with one 1 for a model that is as good.
    Raises:
        ValueError: If there are no errors, names or severities differ, or the baseline makes no error.

    Example:
        >>> mean_corruption_error({"fog": [0.2, 0.4], "snow": [0.4, 0.6]})
        0.4
        >>> mean_corruption_error({"fog": [0.2, 0.4]}, baseline={"fog": [0.4, 0.8]})
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


def _named(name: str) -> str:
    by_key = {normalize_name(known): known for known in CORRUPTIONS}
    if normalize_name(name) not in by_key:
        raise make_unknown_error("corruption", name, CORRUPTIONS)
    return by_key[normalize_name(name)]


def _check(images: Tensor, severity: int) -> None:
    if severity not in SEVERITIES:
        raise InvalidInput(f"A severity is 1, 2, 3, 4 or 5; {severity} came.", name="severity", value=severity)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise InvalidInput(
            "Corruptions need uint8 images [N, C, H, W] with 1 or 3 channels; "
            f"{images.dtype} {list(images.shape)} came."
        )
