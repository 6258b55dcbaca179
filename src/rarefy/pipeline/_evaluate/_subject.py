"""A finished run that is looked at again: its network, its data, and what several evaluations share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from rarefy import data, evaluation, records
from rarefy.config import Config
from rarefy.errors import MissingFile
from rarefy.evaluation.ood import Score, View, compute_scores
from rarefy.paths import RunPaths
from rarefy.pipeline._build import EVALUATION_BATCH, build_model, draw_sparsity, in_order
from rarefy.pipeline._resolve import ResolvedConfig, resolve
from rarefy.pipeline._same_data import require_same_data
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, load


class Subject:
    """A finished run. Everything is loaded or computed when it is first asked for, and once.

    Args:
        folder: The run's folder.
        data_dir: Where its data set is looked for.
        device: Where to compute; None: where it was trained.

    Raises:
        RecordError: If there is no record that can be read.
        FileNotFoundError: If the record is there and the model is not.
    """

    def __init__(self, folder: Path, data_dir: Path, device: str | None, workers: int | None = None) -> None:
        self.paths = RunPaths(folder)
        self.record = records.read(folder)
        if not self.paths.model.is_file():
            raise MissingFile(
                f"{folder} has a record but no {self.paths.model.name}: without its weights a run cannot be "
                "evaluated. Copy the file there, or train the run again in another place."
            )
        config = Config.from_values(self.record.config)
        self.resolved: ResolvedConfig = resolve(config.model_copy(update={"device": device}) if device else config)
        self.data_dir = data_dir
        self._workers = workers
        self._scored: dict[tuple[str | int | None, ...], tuple[dict[str, Tensor], dict[str, str]]] = {}

    @functools.cached_property
    def splits(self) -> data.Splits:
        """The run's data set, split as it was for training; raises OtherData if it is not the one at hand."""
        splits = data.load(self.resolved.dataset, self.data_dir, self.streams("split"), workers=self._workers)
        require_same_data(self.paths.folder, self.record.fingerprint, splits.fingerprint)
        return splits.to(self.resolved.device)

    @property
    def streams(self) -> Streams:
        """The run's own random streams, from their start."""
        return Streams(self.resolved.config.seed)

    @property
    def spec(self) -> data.Spec:
        """The data set's."""
        return self.splits.spec

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return self.spec.channels, self.spec.height, self.spec.width

    @functools.cached_property
    def trained(self) -> tuple[nn.Module, Sparsity]:
        """The network as it was saved."""
        model = build_model(self.resolved, self.spec, self.streams)
        return model, load(self.paths.model, model)

    @property
    def model(self) -> nn.Module:
        """The trained network."""
        return self.trained[0]

    @property
    def masks(self) -> dict[str, Tensor]:
        """Which of its weights are kept."""
        return dict(self.trained[1].masks)

    @functools.cached_property
    def initial(self) -> tuple[nn.Module, dict[str, Tensor]]:
        """The network and the masks as they were before the first step, made again from the seed."""
        model = build_model(self.resolved, self.spec, self.streams)
        return model, dict(draw_sparsity(model, self.resolved, self.splits, self.streams).masks)

    @functools.cached_property
    def test(self) -> evaluation.Predictions:
        """What it says of the test split."""
        return evaluation.predict(self.model, in_order(self.splits.test, self.spec))

    @functools.cached_property
    def validation(self) -> evaluation.Predictions:
        """What it says of the validation split."""
        return evaluation.predict(self.model, in_order(self.splits.validation, self.spec))

    @functools.cached_property
    def reference(self) -> View:
        """How it sees its training images, unaugmented."""
        return View(self.model, self.spec, self.splits.train, batch_size=EVALUATION_BATCH)

    def scored(self, scores: Mapping[str, Score], limit: int | None) -> tuple[dict[str, Tensor], dict[str, str]]:
        """What scores say of its test images, at most so many and evenly spaced: the same for every source.

        Beside it, why some scores say nothing.
        """
        key = (*scores, limit)
        if key not in self._scored:
            self._scored[key] = compute_scores(self.view(data.spaced(self.splits.test, limit)), scores)
        return self._scored[key]

    def view(self, split: data.AnySplit) -> View:
        """How it sees other images."""
        return View(self.model, self.spec, split, reference=self.reference, batch_size=EVALUATION_BATCH)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the test images: runs that have it in common can be shown the same corrupted images."""
        return self.splits.test.fingerprint
