"""Loads the network of a finished run, or builds that of a config."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from rarefy.config import Config
from rarefy.pipeline._build import build_dense_model
from rarefy.pipeline._load_run import load_run
from rarefy.pipeline._resolve import resolve
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, sparsify


class Network(NamedTuple):
    """A sparse network on the CPU (dense kernels and zeros) with its config and the shape ``(C, H, W)`` of an image.

    Example:
        >>> Network._fields
        ('config', 'model', 'sparsity', 'shape')
    """

    config: Config
    model: nn.Module
    sparsity: Sparsity
    shape: tuple[int, int, int]


def load_network(folder: Path, *, data_dir: Path) -> Network:
    """Loads the network of a finished run to train or measure it.

    Args:
        folder: The run's folder.
        data_dir: Folder of the data sets, for old records: see `load_run`.

    Raises:
        RunError: As `load_run`.

    Example:
        >>> load_network(Path("nowhere"), data_dir=Path("data"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.errors.MissingFile: There is no run 'nowhere'. Name ...
    """
    network = load_run(folder, data_dir=data_dir)
    return Network(network.config, network.model.train(), network.sparsity, network.shape)


def build_network(config: Config, *, in_channels: int, classes: int, size: tuple[int, int]) -> Network:
    """Builds the network of a config as it is before training, without data.

    Args:
        config: A config; only model, allocation, density and seed are used.
        in_channels: Channels of an image.
        classes: Number of classes.
        size: Height and width of an image.

    Raises:
        ValueError: If the allocation needs data, or cannot reach the density.

    Example:
        >>> config = Config(model="mlp_16", allocation="uniform", density=0.25)
        >>> build_network(config, in_channels=1, classes=4, size=(2, 2)).sparsity.kept
        32
    """
    resolved, streams = resolve(config), Streams(config.seed)
    model = build_dense_model(resolved, in_channels, classes, size, streams)
    sparsity = sparsify(model, density=config.density, allocation=resolved.allocation, seed=config.seed)
    return Network(resolved.config, model, sparsity, (in_channels, *size))
