"""A callback for the ``Trainer`` of Lightning."""

from __future__ import annotations

import math
from typing import Any

from rarefy.installation import import_extra
from rarefy.integrations._sparse_training import SparseTraining
from rarefy.sparsity import Sparsity

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError:  # told when a callback is made
        Callback = object


class LightningCallback(Callback):  # type: ignore[misc]  # Any without lightning
    """Trains a ``LightningModule`` sparsely.

    Masks are drawn before the trainer makes the optimizers, and kept to by every step. Masks and counters are part of
    the trainer's checkpoints, from which ``trainer.fit(ckpt_path=...)`` continues. Gradients are masked before they are
    clipped, so that the norm is that of the weights that are trained. Each epoch logs ``density`` and, for masks that
    move, ``mask_overlap`` (Jaccard index of the last update) and ``exploration_rate``.

    Args:
        sparsity: What `rarefy.sparsify` returned for the module or a part of it; None: masks are drawn with
            ``options``.
        **options: Arguments of `rarefy.sparsify`: ``density=0.1, topology="rigl"``.

    Raises:
        MissingPackage: If lightning is not installed.
        InvalidInput: If both a sparsity and options are given.
    """

    def __init__(self, sparsity: Sparsity | None = None, **options: Any) -> None:
        if Callback is object:
            import_extra("lightning", "lightning", needed_by="LightningCallback")
        self._training = SparseTraining(sparsity, options)
        self._restored: dict[str, Any] | None = None

    @property
    def sparsity(self) -> Sparsity:
        """The sparsity; raises InvalidInput before the first fit."""
        return self._training.get_sparsity()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Draws the masks, before a checkpoint's weights are loaded and optimizers are made."""
        if stage == "fit":
            self._training.draw(pl_module)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Attaches the optimizers, and restores the masks of a checkpoint."""
        steps = trainer.estimated_stepping_batches
        self._training.attach(trainer.optimizers, int(steps) if math.isfinite(steps) else None)
        if self._restored is not None:
            self.sparsity.load_state_dict(self._restored)
            self._restored = None

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Masks gradients that the trainer is about to clip."""
        if trainer.gradient_clip_val and len(trainer.optimizers) == 1:
            self.sparsity.mask_gradients_()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Logs density and overlap."""
        pl_module.log_dict(self._training.measure())

    def state_dict(self) -> dict[str, Any]:
        """Masks and counters, for the trainer's checkpoint."""
        return self.sparsity.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state of a checkpoint until the optimizers are there."""
        self._restored = state_dict
