"""Dense safetensors: every weight with its zeros, under the names of the network's ``state_dict``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from safetensors.torch import load_file, save
from torch import Tensor

from rarefy.pipeline._load_run import TrainedNetwork, build_untrained
from rarefy.pipeline.formats._registry import FORMATS


@FORMATS.register("safetensors")
@dataclasses.dataclass(frozen=True)
class Safetensors:
    """A file that ``model.load_state_dict(safetensors.torch.load_file(path))`` takes; not the run's compact one.

    Example:
        >>> FORMATS.build("safetensors").ending
        '.safetensors'
    """

    ending: ClassVar[str] = ".safetensors"
    reader: ClassVar[str] = "safetensors.torch.load_file and load_state_dict"

    @property
    def batch(self) -> int:
        """Any."""
        return 0

    def require_packages(self) -> None:
        """Needs no package but safetensors."""

    def write(self, network: TrainedNetwork, path: Path) -> str:
        """Writes the state of the network; tensors that share storage are written several times."""
        tensors = {name: value.detach().contiguous().clone() for name, value in network.model.state_dict().items()}
        path.write_bytes(save(tensors, metadata={"format": "pt"}))
        return ""

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        """Builds the network again and loads the state into it."""
        model = build_untrained(network.config, network.spec).eval()
        model.load_state_dict(load_file(path))
        return model
