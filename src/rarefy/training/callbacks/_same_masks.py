"""Proof that every rank trains the same weights."""

from __future__ import annotations

from rarefy.training._state import Event, State


class SameMasks:
    """Compares the masks' checksums between ranks when training starts, and after every step that moved masks."""

    def __init__(self) -> None:
        self._seen = -1

    def __call__(self, event: Event, state: State) -> None:
        """Raises RanksDiffer on every rank if they are not the same."""
        if state.world.ranks > 1 and state.sparsity.updates != self._seen:
            self._seen = state.sparsity.updates
            state.world.require_same("The masks", state.sparsity.masks.checksum())
