"""What can be watched while a sparse network trains; nothing is computed unless somebody asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.masks import Masks
from rarefy.shards import shard_like, to_full
from rarefy.topology import compute_overlap, count_active_units


class Watch:
    """Numbers of one attached optimizer: gradient norms of its last step, mask overlap of its last update."""

    def __init__(self) -> None:
        self.squares: Tensor | None = None  # [kept, pruned], on the device, so that no step waits
        self.overlap: float | None = None

    @torch.no_grad()
    def see_gradients(self, gradients: Mapping[str, Tensor], masks: Masks) -> None:
        """Squared norms over kept and pruned weights, of gradients that are not masked yet."""
        if not gradients:
            return
        dense = list(gradients.values())
        kept = [grad.mul(shard_like(masks[name], grad)) for name, grad in gradients.items()]
        squares = [
            to_full(torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]).double().square().sum())
            for tensors in (dense, kept)
        ]
        self.squares = torch.stack([squares[1], (squares[0] - squares[1]).clamp(min=0)])

    def see_update(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """How much of the masks an update left in place."""
        self.overlap = compute_overlap(before, after).jaccard

    def state_dict(self) -> dict[str, Any]:
        """The numbers."""
        return {"squares": self.squares, "overlap": self.overlap}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.squares, self.overlap = state["squares"], state["overlap"]


def summary(watches: list[Watch], masks: Masks) -> dict[str, float]:
    """The numbers of all attached optimizers under their documented names; what has not happened yet is left out."""
    found: dict[str, float] = {}
    squares = [watch.squares.cpu() for watch in watches if watch.squares is not None]
    if squares:
        kept, pruned = torch.stack(squares).sum(0).sqrt().tolist()
        found |= {"gradient_norm_kept": kept, "gradient_norm_pruned": pruned}
    overlaps = [watch.overlap for watch in watches if watch.overlap is not None]
    if overlaps:
        found["mask_overlap"] = sum(overlaps) / len(overlaps)
    units = [count_active_units(mask) for mask in masks.values()]
    outputs, inputs = sum(unit.outputs for unit in units), sum(unit.inputs for unit in units)
    found["active_outputs"] = outputs / max(1, outputs + sum(unit.dead_outputs for unit in units))
    found["active_inputs"] = inputs / max(1, inputs + sum(unit.dead_inputs for unit in units))
    return found
