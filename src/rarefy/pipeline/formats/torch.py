"""PyTorch's ``ExportedProgram``: a graph with its weights, which runs without the network's code."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.pipeline._load_run import TrainedNetwork
from rarefy.pipeline.formats._registry import FORMATS
from rarefy.pipeline.formats._trace import check_batch, trace


@FORMATS.register("torch")
@dataclasses.dataclass(frozen=True)
class Torch:
    """A ``.pt2`` file for ``torch.export.load``, AOTInductor or ExecuTorch.

    Args:
        batch: Images per batch; 0: any number.

    Raises:
        InvalidInput: If the batch is negative.

    Example:
        >>> FORMATS.build("torch", batch=8)
        Torch(batch=8)
    """

    batch: int = 0

    ending: ClassVar[str] = ".pt2"
    reader: ClassVar[str] = "torch.export.load"

    def __post_init__(self) -> None:
        """Checks the batch size."""
        check_batch(self.batch)

    def require_packages(self) -> None:
        """Needs no package but torch."""

    def write(self, network: TrainedNetwork, path: Path) -> str:
        """Traces and writes the network."""
        program = trace(network, self.batch)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it has paths of this machine
        content = io.BytesIO()
        torch.export.save(program, content)
        path.write_bytes(content.getvalue())
        return ""

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        """Loads the program."""
        module: Callable[[Tensor], Tensor] = torch.export.load(path).module()
        return module
