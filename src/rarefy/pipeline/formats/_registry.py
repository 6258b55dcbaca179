"""The protocol of an export format, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from torch import Tensor

from rarefy.errors import RarefyError
from rarefy.pipeline._load_run import TrainedNetwork
from rarefy.registry import Registry


class ExportFailed(RarefyError):
    """A network that cannot be written in a format, or gives other results when it is read again.

    Attributes:
        difference: Largest difference of a logit, where the results differ.
    """

    difference: float | None = None


class Format(Protocol):
    """A format's options: a frozen dataclass.

    Attributes:
        ending: What the default name of the file ends with; without a dot it is a folder.
        reader: What reads it again, for people.
    """

    ending: ClassVar[str]
    reader: ClassVar[str]

    @property
    def batch(self) -> int:
        """The only batch size that the written network takes; 0: it takes any."""
        ...

    def require_packages(self) -> None:
        """Raises MissingPackage if a package that writes or reads the format is not installed."""
        ...

    def write(self, network: TrainedNetwork, path: Path) -> str:
        """Writes a network on the CPU to a new file, or into a new folder; returns a remark for people, or nothing."""
        ...

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        """Reads what `write` wrote, as a function from preprocessed images [N, C, H, W] to logits [N, classes]."""
        ...


FORMATS: Registry[Format] = Registry("export format", "formats")
