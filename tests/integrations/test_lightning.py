"""Sparse training by the real ``Trainer`` of Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rarefy import sparsify
from rarefy.integrations import LightningCallback
from rarefy.topology import TOPOLOGIES

lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of others' packages, about this machine


class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """A small network; it remembers the gradient norms that it was clipped by."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        self.norms: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        inputs, labels = batch
        return nn.functional.cross_entropy(self.net(inputs), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any, gradient_clip_algorithm: Any) -> None:
        if gradient_clip_val:
            self.norms.append(float(nn.utils.clip_grad_norm_(self.net.parameters(), gradient_clip_val)))


def make_batches() -> DataLoader[Any]:
    inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=8)


def make_trainer(callback: Any, epochs: int = 4, **values: Any) -> Any:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False, "enable_checkpointing": False, **values},
    )


def moving() -> LightningCallback:
    return LightningCallback(density=0.25, topology=TOPOLOGIES.build("rigl", interval=2, stop=1.0), seed=3)


def test_every_step_keeps_the_masks_and_logs_say_so() -> None:
    callback, module = moving(), Module()
    trainer = make_trainer(callback)
    trainer.fit(module, make_batches())
    assert callback.sparsity.kept == round(0.25 * (8 * 16 + 16 * 2))
    weights = dict(module.named_parameters())
    for name, mask in callback.sparsity.masks.items():
        assert not weights[name][~mask].any()
        assert weights[name][mask].any()
    logged = {name: float(value) for name, value in trainer.logged_metrics.items()}
    assert logged["density"] == pytest.approx(callback.sparsity.density)
    assert 0 < logged["mask_overlap"] <= 1
    assert logged["exploration_rate"] > 0.25


def test_a_checkpoint_continues_to_the_same_bits(tmp_path: Path) -> None:
    whole = Module()
    make_trainer(moving()).fit(whole, make_batches())
    part = make_trainer(moving(), epochs=4)
    part.fit_loop.epoch_loop.max_steps = -1
    part.callbacks.append(StopAfter(2))
    part.fit(Module(), make_batches())
    part.save_checkpoint(tmp_path / "part.ckpt")
    resumed, callback = Module(), moving()
    make_trainer(callback).fit(resumed, make_batches(), ckpt_path=str(tmp_path / "part.ckpt"))
    for (name, one), (_, other) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(one, other), name


class StopAfter(lightning.Callback):  # type: ignore[misc, name-defined]
    """Stops a trainer at the end of an epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def test_gradients_are_clipped_by_the_norm_of_kept_weights() -> None:
    module = Module()
    trainer = make_trainer(LightningCallback(density=0.25, seed=3), epochs=1, gradient_clip_val=100.0)
    trainer.fit(module, make_batches())

    plain = Module()  # the same first step by hand
    sparsity = sparsify(plain, density=0.25, seed=3)
    inputs, labels = next(iter(make_batches()))
    nn.functional.cross_entropy(plain.net(inputs), labels).backward()
    weights = dict(plain.named_parameters())
    kept = [weight.grad * sparsity.masks.get(name, torch.ones(())) for name, weight in weights.items()]  # type: ignore[operator]
    assert module.norms[0] == pytest.approx(float(torch.stack([grad.norm() for grad in kept]).norm()))


def test_a_second_fit_keeps_the_masks() -> None:
    callback, module = LightningCallback(density=0.25), Module()
    make_trainer(callback, epochs=1).fit(module, make_batches())
    before = callback.sparsity.masks
    make_trainer(callback, epochs=1).fit(module, make_batches())
    assert callback.sparsity.masks == before
    assert all(not weight[~before[name]].any() for name, weight in callback.sparsity.weights().items())


def test_a_part_of_a_module_can_be_sparse() -> None:
    module = Module()
    own = sparsify(module.net, density=0.5, include=["0.weight"])
    make_trainer(LightningCallback(own), epochs=1).fit(module, make_batches())
    assert int(module.net[0].weight.count_nonzero()) == own.kept == 64
    assert module.net[2].weight.all()
