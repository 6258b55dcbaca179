"""Imports pytorch-ood, which computes the scores that are fitted on features."""

from __future__ import annotations

from typing import Any

from rarefy.installation import import_extra

REQUIRED = "pytorch_ood"


def import_detectors() -> Any:
    """Imports ``pytorch_ood.detector``; raises MissingPackage if the library is not installed."""
    return import_extra("pytorch_ood.detector", "ood", needed_by="This score")
