"""Diagnostics of a sparse training; computed only on request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.masks import Masks
from rarefy.shards import shard_like, to_full
from rarefy.topology import compute_overlap, count_active_units


class Diagnostics:
    """Diagnostics of one attached optimizer: gradient norms of its last step, mask overlap of its last update."""

    def __init__(self) -> None:
        self.squares: Tensor | None = None  # [kept, pruned], on the device: a step does not wait for the GPU
        self.overlap: float | None = None

    @torch.no_grad()
    def record_gradients(self, gradients: Mapping[str, Tensor], masks: Masks) -> None:
        """Computes squared norms over kept and pruned weights, of gradients before they are masked."""
        if not gradients:
            return
        dense = list(gradients.values())
        kept = [grad.mul(shard_like(masks[name], grad)) for name, grad in gradients.items()]
        squares = [
            to_full(torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]).double().square().sum())
            for tensors in (dense, kept)
        ]
        self.squares = torch.stack([squares[1], (squares[0] - squares[1]).clamp(min=0)])

    def record_update(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Computes how much of the masks an update left in place."""
        self.overlap = compute_overlap(before, after).jaccard

    def state_dict(self) -> dict[str, Any]:
        """Returns norms and overlap."""
        return {"squares": self.squares, "overlap": self.overlap}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads what `state_dict` returned."""
        self.squares, self.overlap = state["squares"], state["overlap"]


def summarize(diagnostics: list[Diagnostics], masks: Masks) -> dict[str, float]:
    """Summarizes all attached optimizers by documented names; values that do not exist yet are left out."""
    values: dict[str, float] = {}
    squares = [each.squares.cpu() for each in diagnostics if each.squares is not None]
    if squares:
        kept, pruned = torch.stack(squares).sum(0).sqrt().tolist()
        values |= {"gradient_norm_kept": kept, "gradient_norm_pruned": pruned}
    overlaps = [each.overlap for each in diagnostics if each.overlap is not None]
    if overlaps:
        values["mask_overlap"] = sum(overlaps) / len(overlaps)
    units = [count_active_units(mask) for mask in masks.values()]
    outputs, inputs = sum(unit.outputs for unit in units), sum(unit.inputs for unit in units)
    values["active_outputs"] = outputs / max(1, outputs + sum(unit.dead_outputs for unit in units))
    values["active_inputs"] = inputs / max(1, inputs + sum(unit.dead_inputs for unit in units))
    return values
