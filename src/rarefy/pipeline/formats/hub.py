"""A folder as the Hugging Face hub wants it: config, dense weights and model card; and the compact run itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from rarefy import models, records
from rarefy.paths import RunPaths
from rarefy.pipeline._load_run import TrainedNetwork, load_run
from rarefy.pipeline.formats._card import format_card
from rarefy.pipeline.formats._registry import FORMATS, ExportFailed
from rarefy.pipeline.formats.safetensors import Safetensors
from rarefy.rng import Streams
from rarefy.sparsity import save

_CONFIG, _WEIGHTS, _CARD, _RUN = "config.json", "model.safetensors", "README.md", "run"


@FORMATS.register("hub")
@dataclasses.dataclass(frozen=True)
class Hub:
    """A folder with ``config.json``, ``model.safetensors`` (dense), ``README.md`` (the model card) and ``run``.

    ``run`` is the run's folder with its compact weights, which `rarefy.load_run` takes. Nothing is uploaded. Files that
    are in the folder already stay, unless they have these names.

    Args:
        license: The licence in the card, such as ``apache-2.0``; empty: none.

    Example:
        >>> FORMATS.build("hub", license="mit")
        Hub(license='mit')
    """

    license: str = ""

    ending: ClassVar[str] = "-hub"
    reader: ClassVar[str] = "config.json and safetensors.torch.load_file"

    @property
    def batch(self) -> int:
        """Any."""
        return 0

    def require_packages(self) -> None:
        """Needs no package but safetensors."""

    def write(self, network: TrainedNetwork, path: Path) -> str:
        """Writes the files; the remark compares the sizes of the dense and the compact weights."""
        (path / _CONFIG).write_text(json.dumps(describe_network(network), indent=2, ensure_ascii=False) + "\n", "utf-8")
        Safetensors().write(network, path / _WEIGHTS)
        copy = RunPaths(path / _RUN)
        spec = records.DataSpec(**dataclasses.asdict(network.spec))
        records.write(network.record.model_copy(update={"spec": spec}), copy.record)
        save(network.model, network.sparsity, copy.model)
        dense, compact = (path / _WEIGHTS).stat().st_size, copy.model.stat().st_size
        (path / _CARD).write_text(format_card(network, dense_bytes=dense, license=self.license), "utf-8")
        return f"dense weights {dense:,} bytes, the compact ones in {_RUN} {compact:,}"

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        """Builds the network from ``config.json`` alone and loads the dense weights; the copy of the run loads too."""
        config = json.loads((path / _CONFIG).read_text("utf-8"))
        model = models.build(
            models.parse(config["architecture"], **config["architecture_options"]),
            in_channels=config["num_channels"],
            classes=config["num_labels"],
            size=tuple(config["image_size"]),
            generator=Streams(0)("init"),
        ).eval()
        model.load_state_dict(load_file(path / _WEIGHTS))
        compact = load_run(path / _RUN).model.state_dict()
        if wrong := [name for name, value in model.state_dict().items() if not torch.equal(value, compact[name])]:
            raise ExportFailed(f"The compact weights in {_RUN} differ from the dense ones in {wrong[0]!r}.")
        return model


def describe_network(network: TrainedNetwork) -> dict[str, Any]:
    """Describes a network under the names that image classifiers on the hub have, and others for what rarefy adds."""
    spec, record, config = network.spec, network.record, network.config
    return {
        "library_name": "rarefy",
        "architecture": config.model.name,
        "architecture_options": config.model.options,
        "num_channels": spec.channels,
        "image_size": [spec.height, spec.width],
        "resize": spec.resize,
        "image_mean": spec.mean,
        "image_std": spec.std,
        "num_labels": spec.classes,
        "id2label": {str(number): name for number, name in enumerate(network.class_names)},
        "label2id": {name: number for number, name in enumerate(network.class_names)},
        "dataset": spec.name,
        "density": record.density,
        "allocation": config.allocation.name,
        "rarefy_run": record.id,
        "rarefy_version": record.versions["rarefy"],
    }
