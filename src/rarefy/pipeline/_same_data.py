"""Whether a run's numbers are of the data at hand: by the fingerprint that its record and its checkpoint hold."""

from __future__ import annotations

from pathlib import Path

from rarefy import data
from rarefy.config import Config
from rarefy.pipeline._folder import RunError
from rarefy.pipeline._resolve import resolve
from rarefy.rng import Streams


class OtherData(RunError):
    """A run that was trained on other data than those at hand.

    Attributes:
        known: Fingerprint of the data it was trained on.
        found: Fingerprint of the data at hand.
    """

    known: str
    found: str


def require_same_data(folder: Path, known: str | None, found: str | None) -> None:
    """Raises OtherData where both fingerprints are known and differ.

    Args:
        folder: The run's folder.
        known: What its record or checkpoint says; None in those of before there were fingerprints.
        found: Of the data at hand; None where they follow from the seed, and so from the run's id.

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
    """Finds the fingerprint of a config's data; nothing that is not in memory is decoded.

    Args:
        config: A run's config.
        data_dir: Where data sets are looked for.

    Returns:
        The fingerprint; None where the data follow from the seed.

    Raises:
        MissingData: If they are not there.

    Example:
        >>> fingerprint_data(Config.from_values({"data": "synthetic"}), Path("data")) is None
        True
    """
    return data.load(resolve(config).dataset, data_dir, Streams(config.seed)("split"), workers=0).fingerprint
