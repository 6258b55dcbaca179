"""Traces a network with torch.export."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from rarefy.errors import InvalidInput
from rarefy.pipeline._load_run import TrainedNetwork
from rarefy.pipeline.formats._registry import ExportFailed


def check_batch(batch: int) -> None:
    """Raises InvalidInput if a batch size is negative."""
    if batch < 0:
        raise InvalidInput(f"batch is a number of images, or 0 for any number; got {batch}", name="batch", value=batch)


def trace(network: TrainedNetwork, batch: int) -> Any:
    """Traces a network as a ``torch.export.ExportedProgram``.

    Args:
        network: The network.
        batch: Images per batch; 0: any number.

    Raises:
        ExportFailed: If torch cannot trace the network.
    """
    images = torch.zeros(batch or 2, *network.shape)
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about itself
            return torch.export.export(network.model, (images,), dynamic_shapes=shapes)
    except Exception as error:  # a forward may do anything, so tracing may fail in any way
        hint = "" if batch else " If its forward depends on the batch size, --batch N (batch=N) fixes it."
        reason = str(error).strip().partition("\n")[0]
        raise ExportFailed(
            f"torch.export cannot trace this network ({type(error).__name__}: {reason}).{hint}"
        ) from error
