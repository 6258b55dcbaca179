"""Loads a finished run: its network, its data and the predictions that several tasks share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rarefy import data, evaluation, models, records
from rarefy.config import Config
from rarefy.errors import MissingFile
from rarefy.evaluation.ood import Score, View, compute_scores
from rarefy.paths import RunPaths
from rarefy.pipeline._build import EVALUATION_BATCH, build_model, draw_sparsity, iterate_batches
from rarefy.pipeline._load_data import load_data
from rarefy.pipeline._resolve import ResolvedConfig, resolve
from rarefy.pipeline._same_data import require_same_data
from rarefy.rng import Streams
from rarefy.sparsity import Sparsity, load


class FinishedRun:
    """A finished run, whose parts are loaded or computed at first use and cached.

    Args:
        folder: The run's folder.
        data_dir: Folder of the data sets.
        device: Device to compute on; None: the one it was trained on.
        workers: Processes that decode images.
        given: The data, if a program gave them to the run.

    Raises:
        RecordError: If the record is missing or damaged.
        FileNotFoundError: If there is a record but no model.
    """

    def __init__(
        self, folder: Path, data_dir: Path, device: str | None, workers: int | None = None, given: Any = None
    ) -> None:
        self.paths = RunPaths(folder)
        self.record = records.read(folder)
        if not self.paths.model.is_file():
            raise MissingFile(
                f"{folder} has a record but no {self.paths.model.name}: without its weights a run cannot be "
                "evaluated. Copy the file there, or train the run again in another place."
            )
        config = Config.from_values(self.record.config)
        models.require_allowed(config.model.name)
        self.resolved: ResolvedConfig = resolve(config.model_copy(update={"device": device}) if device else config)
        self.data_dir = data_dir
        self._workers, self._given = workers, given
        self._test_scores: dict[tuple[str | int | None, ...], tuple[dict[str, Tensor], dict[str, str]]] = {}

    @functools.cached_property
    def splits(self) -> data.Splits:
        """The run's data set, split as for training; raises OtherData if it is not the data it was trained on."""
        _, splits = load_data(self.resolved, self._given, self.data_dir, self._workers)
        require_same_data(self.paths.folder, self.record.fingerprint, splits.fingerprint)
        return splits.to(self.resolved.device)

    @property
    def streams(self) -> Streams:
        """The run's random streams, from their start."""
        return Streams(self.resolved.config.seed)

    @property
    def spec(self) -> data.Spec:
        """Specification of the data set."""
        return self.splits.spec

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an image, ``(C, H, W)``."""
        return self.spec.channels, self.spec.height, self.spec.width

    @functools.cached_property
    def trained(self) -> tuple[nn.Module, Sparsity]:
        """The saved network and its sparsity."""
        model = build_model(self.resolved, self.spec, self.streams)
        return model, load(model, self.paths.model)

    @property
    def model(self) -> nn.Module:
        """The trained network."""
        return self.trained[0]

    @property
    def masks(self) -> dict[str, Tensor]:
        """Masks of the trained network."""
        return dict(self.trained[1].masks)

    @functools.cached_property
    def initial(self) -> tuple[nn.Module, dict[str, Tensor]]:
        """The network and the masks before the first step, rebuilt from the seed."""
        model = build_model(self.resolved, self.spec, self.streams)
        return model, dict(draw_sparsity(model, self.resolved, self.splits, self.streams).masks)

    @functools.cached_property
    def test(self) -> evaluation.Predictions:
        """Predictions for the test split."""
        return evaluation.predict(self.model, iterate_batches(self.splits.test, self.spec))

    @functools.cached_property
    def validation(self) -> evaluation.Predictions:
        """Predictions for the validation split."""
        return evaluation.predict(self.model, iterate_batches(self.splits.validation, self.spec))

    @functools.cached_property
    def reference(self) -> View:
        """View of the training images, not augmented."""
        return View(self.model, self.spec, self.splits.train, batch_size=EVALUATION_BATCH)

    def score_test(self, scores: Mapping[str, Score], limit: int | None) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Computes scores of the test images, at most `limit` and evenly spaced: the same ones for every source.

        Returns:
            Scores by name, and the reason for each score that cannot be computed.
        """
        cache_key = (*scores, limit)
        if cache_key not in self._test_scores:
            self._test_scores[cache_key] = compute_scores(self.view(data.take_spaced(self.splits.test, limit)), scores)
        return self._test_scores[cache_key]

    def view(self, split: data.AnySplit) -> View:
        """Makes the view of other images."""
        return View(self.model, self.spec, split, reference=self.reference, batch_size=EVALUATION_BATCH)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the test images; runs with the same one share corrupted images."""
        return self.splits.test.fingerprint
