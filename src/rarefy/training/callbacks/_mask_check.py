"""Verifies that masks are the same on all ranks."""

from __future__ import annotations

from rarefy.training._state import Event, State


class MaskCheck:
    """Compares the masks' checksums between ranks when training starts and after every mask update."""

    def __init__(self) -> None:
        self._checked_updates = -1

    def __call__(self, event: Event, state: State) -> None:
        """Raises RanksDiffer on every rank if the masks differ."""
        if state.world.ranks > 1 and state.sparsity.updates != self._checked_updates:
            self._checked_updates = state.sparsity.updates
            state.world.require_same("The masks", state.sparsity.masks.checksum())
