"""Imports pytorch-ood, which computes the scores that are fitted on features."""

from __future__ import annotations

from typing import Any

from rarefy.errors import MissingPackage

REQUIRED = "pytorch_ood"


def import_detectors() -> Any:
    """Imports ``pytorch_ood.detector``; raises MissingPackage if the library is not installed."""
    try:
        from pytorch_ood import detector  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"This score needs `pip install rarefy[ood]` ({error.name} is not installed).",
            package=REQUIRED,
            extra="ood",
        ) from error
    return detector
