"""Chooses images on which an exported network is compared with the original."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rarefy import data
from rarefy.errors import RarefyError
from rarefy.pipeline._load_run import TrainedNetwork
from rarefy.pipeline._predict import read_images
from rarefy.rng import Streams

_COUNT = 64


def choose_images(network: TrainedNetwork, paths: Sequence[Path | str], data_dir: Path) -> tuple[Tensor, str]:
    """Chooses at most 64 images, and says where they come from.

    Args:
        network: The network.
        paths: Pictures, folders and ``.npz`` files; if empty: validation images of the run's data, or random numbers if
            these cannot be read.
        data_dir: Folder of the data sets.

    Returns:
        uint8 ``[N, C, H, W]`` and their source.
    """
    if paths:
        pictures = itertools.islice(read_images(network, paths), _COUNT)
        return torch.stack([pixels for _, pixels in pictures]), ", ".join(map(str, paths))
    config = network.config
    try:
        dataset = data.parse(config.data.name, **config.data.options)
        splits = data.load(dataset, data_dir, Streams(config.seed)("split"), workers=0)
        images = data.take_spaced(splits.validation, _COUNT).images
        if tuple(images.shape[1:]) == network.shape:
            return images, f"validation images of {config.data.name}"
        reason = f"those of {config.data.name} in {data_dir} have another shape"
    except (RarefyError, OSError):
        reason = f"{config.data.name} is not in {data_dir}"
    return _draw_images(network.spec), f"random numbers, as {reason}; --images names real ones"


def _draw_images(spec: data.Spec) -> Tensor:
    """Draws random pixels; for a table rows of the training rows' mean and deviation."""
    size, generator = (_COUNT, spec.channels, spec.height, spec.width), Streams(0)("export")
    if not spec.is_table:
        return torch.randint(256, size, generator=generator, dtype=torch.uint8)
    mean, std = (255 * torch.tensor(values).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
    return mean + std * torch.randn(size, generator=generator)
