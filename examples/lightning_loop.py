"""A Lightning ``Trainer`` around a sparse model, with clipping and a checkpoint that continues.

    pip install lightning        # or pytorch-lightning
    python examples/lightning_loop.py

The module attaches in ``configure_optimizers``, clips kept weights only in ``configure_gradient_clipping``, and takes
the masks along in its checkpoint. Lightning reads a checkpoint before it makes the optimizer, so the masks are put back
right after attaching, in ``configure_optimizers``.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import rarefy
from rarefy.topology import TOPOLOGIES

try:
    import lightning as L  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    import pytorch_lightning as L  # type: ignore[import-not-found, unused-ignore]


class SparseDigits(L.LightningModule):  # type: ignore[misc, name-defined, unused-ignore]
    """A multilayer perceptron that keeps 10% of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
        self.sparsity = rarefy.sparsify(self.net, density=0.1, topology=TOPOLOGIES.build("set", interval=20))
        self._restored: dict[str, Any] | None = None

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        return nn.functional.cross_entropy(self.net(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """An optimizer that keeps the masks: new ones, or those of the checkpoint."""
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        self.sparsity.detach()  # a second fit makes a second optimizer
        self.sparsity.attach(optimizer, steps=int(self.trainer.estimated_stepping_batches))
        if self._restored is not None:
            self.sparsity.load_state_dict(self._restored)
            self._restored = None
        return optimizer

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips by the norm of the weights that are trained."""
        self.sparsity.mask_gradients_()
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Masks and counters go along."""
        checkpoint["sparsity"] = self.sparsity.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps them until there is an optimizer."""
        self._restored = checkpoint["sparsity"]


def trainer(epochs: int) -> Any:
    """A trainer that says nothing and writes nothing by itself."""
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def main() -> None:
    """Trains, saves, continues in a new module, and prints what is kept."""
    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning|pytorch_lightning|torch")  # few workers, no validation
    L.seed_everything(0, verbose=False)
    images, labels = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
    images = images.float() / 16
    batches = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=64, shuffle=True)

    first = SparseDigits()
    before = first.sparsity.masks.checksum()
    fit = trainer(8)
    fit.fit(first, batches)
    print(f"8 epochs: {first.sparsity}, mask moved: {first.sparsity.masks.checksum() != before}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.ckpt"
        fit.save_checkpoint(path)
        again = SparseDigits()
        trainer(8).fit(again, batches, ckpt_path=path)  # nothing is left to do: only the state comes back
        print(f"restored: same masks: {again.sparsity.masks == first.sparsity.masks}")
        trainer(12).fit(again, batches, ckpt_path=path)

    again.eval()
    with torch.no_grad():
        accuracy = float((again.net(images[1400:]).argmax(1) == labels[1400:]).float().mean())
    pruned = [weight[~again.sparsity.masks[name]] for name, weight in again.sparsity.weights().items()]
    print(f"12 epochs: {again.sparsity}, largest pruned weight {max(v.abs().max().item() for v in pruned)}")
    print(f"test accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
