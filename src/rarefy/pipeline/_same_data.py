"""Checks that a run was trained on the present data, by the fingerprint in its record and checkpoint."""

from __future__ import annotations

from pathlib import Path

from rarefy import data
from rarefy.config import Config
from rarefy.pipeline._folder import RunError
from rarefy.pipeline._resolve import resolve
from rarefy.rng import Streams


class OtherData(RunError):
    """A run was trained on other data than the present ones.

    Attributes:
        known: Fingerprint of the data it was trained on.
        found: Fingerprint of the present data.
    """

    known: str
    found: str


def require_same_data(folder: Path, known: str | None, found: str | None) -> None:
    """Raises OtherData if both fingerprints are known and differ.

    Args:
        folder: The run's folder.
        known: Fingerprint in its record or checkpoint; None in older ones.
        found: Fingerprint of the present data; None for data generated from the seed, which the run's id covers.

    Example:
        >>> require_same_data(Path("runs/3f2a9c1b77de"), "b9810cf288727668", "b9810cf288727668")
    """
    if known is None or found is None or known == found:
        return
    raise OtherData(
        f"The run {folder} was trained on other data: their fingerprint is {known}, that of the data found here is "
        f"{found}. Name the folder of its own data with --data-dir; to train on these, take another --out, or move the "
        "run's folder away.",
        known=known,
        found=found,
    )


def fingerprint_data(config: Config, data_dir: Path) -> str | None:
    """Computes the fingerprint of a config's data, without decoding images that are not in memory.

    Args:
        config: A run's config.
        data_dir: Folder of the data sets.

    Returns:
        The fingerprint; None for data generated from the seed.

    Raises:
        MissingData: If the data are missing.

    Example:
        >>> fingerprint_data(Config.from_values({"data": "synthetic"}), Path("data")) is None
        True
    """
    return data.load(resolve(config).dataset, data_dir, Streams(config.seed)("split"), workers=0).fingerprint
