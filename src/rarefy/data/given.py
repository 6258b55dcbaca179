"""Data that a program gave to ``rarefy.run(config, data=...)``; named in a record by their fingerprint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from rarefy.data._divide import Part
from rarefy.data._errors import MissingData
from rarefy.data._load import DATASETS
from rarefy.data._own import OwnImages
from rarefy.data._splits import Splits


@DATASETS.register("given")
@dataclasses.dataclass(frozen=True)
class Given(OwnImages):
    """The splits that a program gave; only this program has them, so that a record can name but not load them.

    Example:
        >>> DATASETS.build("given", path="b9810cf288727668").name
        'given:b9810cf288727668'
    """

    form: ClassVar[str] = ""
    title: ClassVar[str] = "The data of a program"

    def __call__(self, directory: Path, generator: torch.Generator) -> Splits:
        """Never returns; raises MissingData."""
        raise MissingData(
            f"The data with the fingerprint {self.path or '(none)'} were given by a program, as in rarefy.run(config, "
            "data=(train, validation, test)); only there they can be given again."
        )

    def read(self, place: Path) -> tuple[Mapping[str, Part], tuple[str, ...]]:
        """Reads nothing."""
        return {}, ()
