"""Sparse training by the real ``Trainer`` of transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy import sparsify
from rarefy.errors import InvalidInput, MissingFile
from rarefy.integrations import HuggingFaceCallback
from rarefy.masks import unpack_masks
from rarefy.topology import TOPOLOGIES

transformers = pytest.importorskip("transformers", reason="Hugging Face transformers is not installed")
pytest.importorskip("accelerate", reason="its Trainer needs accelerate, which is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of others' packages, about this machine
    pytest.mark.slow,  # the import of transformers takes seconds
]


class Classifier(nn.Module):
    """A small network with the interface of transformers' models."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.net(inputs)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def make_data(count: int = 64) -> list[dict[str, Any]]:
    inputs = torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    return [{"inputs": row, "labels": int(row.sum() > 0)} for row in inputs]


def make_trainer(out: Path, callback: Any, steps: int = 8, **values: Any) -> Any:
    arguments = transformers.TrainingArguments(
        str(out),
        max_steps=steps,
        per_device_train_batch_size=8,
        logging_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **{"save_strategy": "no", "learning_rate": 0.01, **values},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier()
    return transformers.Trainer(
        model, arguments, train_dataset=make_data(), eval_dataset=make_data(16), callbacks=[callback]
    )


def moving(seed: int = 3) -> HuggingFaceCallback:
    topology = TOPOLOGIES.build("rigl", interval=2, stop=1.0)
    return HuggingFaceCallback(density=0.25, topology=topology, seed=seed)


def test_every_step_keeps_the_masks_and_logs_say_so(tmp_path: Path) -> None:
    callback = moving()
    trainer = make_trainer(tmp_path, callback)
    trainer.train()
    assert callback.sparsity.kept == round(0.25 * (8 * 16 + 16 * 2))
    weights = dict(trainer.model.named_parameters())
    for name, mask in callback.sparsity.masks.items():
        assert not weights[name][~mask].any()
        assert weights[name][mask].any()
    logs = [row for row in trainer.state.log_history if "loss" in row]
    assert len(logs) == 4
    assert all(row["density"] == callback.sparsity.density for row in logs)
    assert all(0 < row["mask_overlap"] <= 1 for row in logs[1:])
    assert logs[-1]["exploration_rate"] > 0.25


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = make_trainer(tmp_path / "whole", moving())
    whole.train()
    make_trainer(tmp_path / "parts", moving(), save_strategy="steps", save_steps=4).train()
    shutil.rmtree(tmp_path / "parts" / "checkpoint-8")
    resumed = make_trainer(tmp_path / "parts", moving())
    resumed.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-4"))
    for (name, one), (_, other) in zip(
        whole.model.state_dict().items(), resumed.model.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


def test_masks_of_another_checkpoint_are_refused(tmp_path: Path) -> None:
    for name, seed in (("mine", 3), ("other", 4)):
        make_trainer(tmp_path / name, moving(seed), steps=4, save_strategy="steps", save_steps=4).train()
    first, last = (tmp_path / name / "checkpoint-4" / "sparsity.pt" for name in ("mine", "other"))
    content = first.read_bytes()
    shutil.copy(last, first)
    with pytest.raises(InvalidInput, match="not those of the checkpoint"):
        make_trainer(tmp_path / "mine", moving(4)).train(resume_from_checkpoint=str(first.parent))
    first.unlink()
    with pytest.raises(MissingFile):
        make_trainer(tmp_path / "mine", moving()).train(resume_from_checkpoint=str(first.parent))
    (tmp_path / "elsewhere").mkdir()
    shutil.move(first.parent, tmp_path / "elsewhere" / "checkpoint-4")
    moved = tmp_path / "elsewhere" / "checkpoint-4"
    (moved / "sparsity.pt").write_bytes(content)
    trainer = make_trainer(tmp_path / "mine", moving(), resume_from_checkpoint=str(moved))
    trainer.train(resume_from_checkpoint=str(moved))
    assert trainer.state.global_step == 8


def test_the_best_checkpoint_comes_with_its_masks(tmp_path: Path) -> None:
    callback = moving()
    steps = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "learning_rate": 0.5}
    trainer = make_trainer(
        tmp_path, callback, load_best_model_at_end=True, greater_is_better=True, **steps
    )  # the worst one
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint)
    assert best.name != "checkpoint-8"  # or this test shows nothing
    saved = unpack_masks(*(torch.load(best / "sparsity.pt", weights_only=True)[key] for key in ("masks", "metadata")))
    assert saved == callback.sparsity.masks
    for name, mask in callback.sparsity.masks.items():
        assert not dict(trainer.model.named_parameters())[name][~mask].any()


def test_a_sparsity_of_ones_own_is_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="density"):
        HuggingFaceCallback(sparsify(Classifier(), density=0.5), density=0.1)
    callback = HuggingFaceCallback(density=0.5)
    with pytest.raises(InvalidInput, match="before the trainer has begun"):
        _ = callback.sparsity
    trainer = make_trainer(tmp_path, callback, steps=2)
    own = sparsify(trainer.model.net, density=0.5, include=["0.weight"])
    trainer.remove_callback(callback)
    trainer.add_callback(HuggingFaceCallback(own))
    trainer.train()
    assert int(trainer.model.net[0].weight.count_nonzero()) == own.kept == 64
    assert trainer.model.net[2].weight.all()
