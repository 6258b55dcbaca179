"""The state of a sparsity: masks, counters and what optimizers need to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rarefy.errors import InvalidInput
from rarefy.masks import pack_masks, unpack_masks
from rarefy.sparsity._attachment import Attachment
from rarefy.sparsity._checks import check_moves, describe_topology
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._value_storage import list_fixed


def pack_state(masked: MaskedModel, attachments: Sequence[Attachment]) -> dict[str, Any]:
    """Packs masks and step counters as tensors, strings and numbers."""
    tensors, metadata = pack_masks(masked.masks)
    counts = {"initial": dict(masked.initial), "final": dict(masked.final)}
    reserve = {"values": {}, "trained": {}} if masked.dormant is None else masked.dormant.state_dict()
    optimizers = {"attachments": [attachment.state_dict() for attachment in attachments], "reserve": reserve}
    moves = {"topology": describe_topology(masked.topology), "seed": masked.seed}
    return {"masks": tensors, "metadata": metadata, **counts, **optimizers, **moves}


def load_state_(masked: MaskedModel, attachments: Sequence[Attachment], state: Mapping[str, Any]) -> None:
    """Loads what `pack_state` returned, into the masked model and its attached optimizers.

    Raises:
        InvalidInput: If layers, topology, seed or the number of attached optimizers differ.
    """
    masks = unpack_masks(state["masks"], state["metadata"])
    if masks.shapes != masked.masks.shapes:
        raise InvalidInput(f"The state has other layers: {masks.shapes}, this model has {masked.masks.shapes}.")
    check_moves(state, masked.topology, masked.seed)
    if len(state["attachments"]) != len(attachments):
        raise InvalidInput(
            f"The state has {len(state['attachments'])} optimizer(s), but {len(attachments)} are attached. Attach the "
            "same ones first."
        )
    fixed = list_fixed(masked.modules())
    moved = [name for name in fixed if not torch.equal(masks[name], masked.masks[name].cpu())]
    if moved:
        raise InvalidInput(f"The state has another mask of {moved[0]!r}, whose kernels rely on the one that is here.")
    masked.masks, masked.initial, masked.final = masks, dict(state["initial"]), dict(state["final"])
    if masked.dormant is not None:
        masked.dormant.load_state_dict(state["reserve"], masked.weights())
    for attachment, values in zip(attachments, state["attachments"], strict=True):
        attachment.load_state_dict(values)
    masked.zero_pruned_()
