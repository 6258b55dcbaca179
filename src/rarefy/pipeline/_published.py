"""Finds the published networks: finished runs that come with rarefy, under names made from their records."""

from __future__ import annotations

import re
from pathlib import Path

from rarefy import records
from rarefy.config import Config
from rarefy.installation import find_shipped_folder

_RESULTS = "experiments/results"


def list_published() -> dict[str, Path]:
    """Lists the published networks.

    A name is made of data set, network, topology unless it is static, allocation and density. Without a seed at its end
    it stands for the run of the lowest seed.

    Returns:
        Folders of runs by name.

    Example:
        >>> [name for name in list_published() if "erk-0.1" in name][:2]
        ['cifar10/resnet20-erk-0.1', 'cifar10/resnet20-erk-0.1-seed17']
    """
    folders = (path.parent for path in find_shipped_folder(_RESULTS).glob("*/record.json"))
    runs = [(record, folder) for folder, record in records.read_all(sorted(folders))]
    named: dict[str, Path] = {}
    for record, folder in sorted(runs, key=lambda run: run[0].config["seed"]):
        config = Config.from_values(record.config)
        name = _format_name(config)
        named.setdefault(name, folder)
        named[f"{name}-seed{config.seed}"] = folder
    return dict(sorted(named.items()))


def _format_name(config: Config) -> str:
    """Formats a name without the seed: ``cifar10/resnet20-erk-0.1``."""
    model = re.sub(r"^cifar_resnet_(\d+)_16$", r"resnet\1", config.model.name)  # 16 is the usual width
    topology = [] if config.topology.name == "static" else [config.topology.name]
    density = [] if config.allocation.name == "dense" else [f"{config.density:g}"]
    return f"{config.data.name}/{'-'.join([model, *topology, config.allocation.name, *density])}"
