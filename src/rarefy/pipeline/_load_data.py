"""Loads the data of a run, or takes those that a program gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rarefy import data
from rarefy.config import Config, MethodConfig
from rarefy.pipeline._folder import RunError
from rarefy.pipeline._resolve import ResolvedConfig, resolve
from rarefy.pipeline._same_data import OtherData
from rarefy.rng import Streams


def load_data(
    resolved: ResolvedConfig, given: Any, data_dir: Path, workers: int | None
) -> tuple[ResolvedConfig, data.Splits]:
    """Loads the data set of a config; data that a program gives are collected, and named by it from then on.

    Args:
        resolved: The config.
        given: ``(train, validation, test)``, see `rarefy.data.collect_splits`; None: the config names the data set.
        data_dir: Folder of the data sets.
        workers: Processes that decode images.

    Returns:
        The config, in which given data are named by their fingerprint, and the splits.

    Raises:
        RunError: If data are given and the config names a data set as well (other than the default).
        OtherData: If the config names given data by another fingerprint.
    """
    if given is None:
        return resolved, data.load(resolved.dataset, data_dir, Streams(resolved.config.seed)("split"), workers=workers)
    dataset = resolved.dataset
    if not isinstance(dataset, data.Given):
        if dataset != data.parse(Config().data.name):
            raise RunError(
                f"The config names the data set {resolved.config.data.name!r}, and data= were given as well. Give one "
                "of them; options of given data are Config(data={'name': 'given', 'flip': True})."
            )
        dataset = data.Given()
    splits = data.collect_splits(given, dataset)
    fingerprint = str(splits.fingerprint)
    if dataset.path not in ("", fingerprint):
        raise OtherData(
            f"The config is of a run with other data: their fingerprint is {dataset.path}, that of the data given is "
            f"{fingerprint}.",
            known=dataset.path,
            found=fingerprint,
        )
    settings = data.read_settings(dataset) | {"name": f"given:{fingerprint}"}
    return resolve(resolved.config.model_copy(update={"data": MethodConfig(**settings)})), splits
