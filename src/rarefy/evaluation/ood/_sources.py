"""Reads out-of-distribution images from data sets, folders and files, or draws noise."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from rarefy.data import (
    DATASETS,
    ENDINGS,
    MissingData,
    Spec,
    Split,
    describe_left_out,
    fit_images,
    list_pictures,
    load,
    read_image_array,
    read_picture,
    show_path,
    space_indices,
    split_array_key,
    take_first,
    take_spaced,
)
from rarefy.errors import InvalidInput
from rarefy.registry import make_unknown_error, normalize_name
from rarefy.rng import Streams

DATASET_SOURCES = ("cifar10", "cifar100", "svhn", "mnist", "fashion_mnist", "digits")
NOISE_SOURCES = ("uniform_noise", "gaussian_noise")
# Name -> files or folders below the data directory, the fullest first; "x.npz:key" is an array.
FILE_SOURCES = {
    "tiny_imagenet": ("tiny-imagenet-200/val", "ood-32.npz:tiny_imagenet_val", "tiny-imagenet-10/val"),
    "svhn_train_1083": ("ood-32.npz:svhn_train_1083",),
}
OOD_SOURCES = (*DATASET_SOURCES, *FILE_SOURCES, *NOISE_SOURCES)
NOISE_IMAGES = 10_000

_LOG = logging.getLogger("rarefy")


def parse_sources(text: str) -> list[str]:
    """Splits a comma-separated list into distinct names; ``noise`` means ``uniform_noise`` and ``gaussian_noise``.

    Example:
        >>> parse_sources("cifar100, noise")
        ['cifar100', 'uniform_noise', 'gaussian_noise']
    """
    named = [name.strip() for name in text.split(",") if name.strip()]
    groups = (NOISE_SOURCES if normalize_name(name) == "noise" else (name,) for name in named)
    return list(dict.fromkeys(source for group in groups for source in group))


def load_ood(name: str, directory: Path, spec: Spec, *, seed: int = 0, limit: int | None = None) -> Split:
    """Loads out-of-distribution images in the shape of the in-distribution ones.

    `fit_images` converts them; normalise them with the in-distribution mean and deviation. Noise is independent per
    pixel and channel: uniform in [0, 1], or Gaussian with mean 0.5 and deviation 1, clipped to [0, 1].

    Args:
        name: One of ``OOD_SOURCES`` (of a data set the test split), or a path that is absolute, below the working
            folder or below ``directory``: a folder of pictures (all below it, sorted, of the supported types), or
            ``file.npz:key``, an array uint8 [N, H, W], [N, H, W, C] or [N, C, H, W]; the key may be left out if the
            file has only one array.
        directory: Folder of the data sets.
        spec: The in-distribution data set.
        seed: Root seed of the noise.
        limit: Largest number of images, evenly spaced over the source; None: all, and 10,000 of noise.

    Returns:
        A split whose labels are all -1, because the images belong to no class of the in-distribution data set.

    Raises:
        UnknownName: If ``name`` is neither a source nor a path that exists.
        MissingData: If a source's files do not exist; lists the paths.
        CorruptData: If a picture or an array cannot be used.
        ValueError: If the source is the in-distribution data set itself.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=4, width=4, mean=(0.5,), std=(0.5,))
        >>> split = load_ood("uniform_noise", Path("data"), spec, limit=3)
        >>> split.images.shape, split.labels.tolist()
        (torch.Size([3, 1, 4, 4]), [-1, -1, -1])

    References:
        Noise: Liang, Li and Srikant, 2018, arXiv:1706.02690, section 4.2.
    """
    if normalize_name(name) == normalize_name(spec.name):
        others = ", ".join(source for source in OOD_SOURCES if normalize_name(source) != normalize_name(name))
        raise InvalidInput(f"{name!r} is the data set the model was trained on; name another one: {others}.")
    if limit is not None and limit < 1:
        raise InvalidInput(f"limit must be at least 1, got {limit}.", name="limit", value=limit)
    if spec.is_table:
        raise InvalidInput(
            f"{name!r} is made of images, and {spec.name} of rows of numbers; a network of images is needed.",
            name="ood",
            value=name,
        )
    images = _read(name, Path(directory), spec, seed, limit)
    some = take_spaced(Split(images, torch.full((len(images),), -1)), limit)
    try:
        return Split(fit_images(some.images, spec), some.labels)
    except InvalidInput as error:
        raise InvalidInput(f"{name!r} cannot be used. {error}") from error


def require_source(name: str, directory: Path) -> None:
    """Raises UnknownName unless the name is a source or an existing path; does not check a source's files.

    Example:
        >>> require_source("cifar100", Path("data"))
    """
    if normalize_name(name) in map(normalize_name, OOD_SOURCES):
        return
    if not any(_exists(folder / name) for folder in (Path(), Path(directory))):
        raise make_unknown_error("source of out-of-distribution images", name, OOD_SOURCES)


def _read(name: str, directory: Path, spec: Spec, seed: int, limit: int | None) -> Tensor:
    streams, source = Streams(seed), {normalize_name(known): known for known in OOD_SOURCES}.get(normalize_name(name))
    if source in DATASET_SOURCES:
        return take_first(load(DATASETS.build(source), directory, streams("ood", source)).test, None).images
    if source in NOISE_SOURCES:
        draw = torch.rand if source == "uniform_noise" else torch.randn
        shift = 0.0 if source == "uniform_noise" else 0.5
        size = (limit or NOISE_IMAGES, spec.channels, spec.height, spec.width)
        noise = draw(size, generator=streams("ood", source)).add_(shift).clamp_(0, 1)
        return noise.mul_(255).round_().to(torch.uint8)
    if source is not None:
        return _read_first(source, [directory / path for path in FILE_SOURCES[source]], spec, limit)
    require_source(name, directory)
    return _read_first(name, [Path(name), directory / name], spec, limit)


def _read_first(name: str, paths: list[Path], spec: Spec, limit: int | None) -> Tensor:
    """Reads the images of the first path that exists."""
    for path in filter(_exists, paths):
        return _read_pictures(path, spec, limit) if path.is_dir() else read_image_array(path)
    looked = ", ".join(str(path.absolute()) for path in paths)
    raise MissingData(f"The out-of-distribution images {name!r} were not found. Looked for: {looked}.")


def _exists(path: Path) -> bool:
    return path.is_dir() or split_array_key(path)[0].is_file()


def _read_pictures(folder: Path, spec: Spec, limit: int | None) -> Tensor:
    """Reads the pictures below a folder in the order of their paths; each is resized, so sizes may differ."""
    listing = list_pictures(folder)
    if not listing.pictures:
        there = f" It holds {describe_left_out(listing.left_out)}." if listing.left_out else ""
        kinds = ", *".join(ENDINGS)
        raise MissingData(f"There is no picture below {show_path(folder.absolute())}; looked for *{kinds}.{there}")
    if listing.left_out:
        left_out = describe_left_out(listing.left_out)
        _LOG.warning("%d pictures below %s; left out: %s", len(listing.pictures), show_path(folder), left_out)
    chosen = [listing.pictures[number] for number in space_indices(len(listing.pictures), limit).tolist()]
    return torch.cat([fit_images(read_picture(folder / path)[None], spec) for path in chosen])
