"""Sparse networks to look at: a finished run's, or one that is only named."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from rarefy.config import Config
from rarefy.pipeline._build import build_dense_model
from rarefy.pipeline._evaluate._subject import Subject
from rarefy.pipeline._resolve import resolve
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, sparsify


class Network(NamedTuple):
    """A sparse network on the CPU, dense kernels and zeros, and the shape of one image ``(C, H, W)``.

    Example:
        >>> Network._fields
        ('config', 'model', 'sparsity', 'shape')
    """

    config: Config
    model: nn.Module
    sparsity: Sparsity
    shape: tuple[int, int, int]


def load_network(folder: Path, *, data_dir: Path) -> Network:
    """The network of a finished run as it was saved.

    Args:
        folder: The run's folder.
        data_dir: Where its data set is looked for, which says how large an image is.

    Raises:
        RecordError: If there is no record that can be read; FileNotFoundError: if the model or the data are not there.

    Example:
        >>> load_network(Path("nowhere"), data_dir=Path("data"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.records._record.RecordError: ...
    """
    subject = Subject(folder, data_dir, "cpu")
    return Network(subject.resolved.config, *subject.trained, subject.shape)


def build_network(config: Config, *, in_channels: int, classes: int, size: tuple[int, int]) -> Network:
    """The network of a config as it is before training; no data are needed.

    Args:
        config: Model, allocation, density and seed are read from it.
        in_channels: Channels of an image.
        classes: Number of classes.
        size: Height and width of an image.

    Raises:
        ValueError: If the allocation looks at data, or the density cannot be had.

    Example:
        >>> config = Config(model="mlp_16", allocation="uniform", density=0.25)
        >>> build_network(config, in_channels=1, classes=4, size=(2, 2)).sparsity.kept
        32
    """
    resolved, streams = resolve(config), Streams(config.seed)
    model = build_dense_model(resolved, in_channels, classes, size, streams)
    sparsity = sparsify(model, density=config.density, allocation=resolved.allocation, seed=config.seed)
    return Network(resolved.config, model, sparsity, (in_channels, *size))
