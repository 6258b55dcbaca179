"""The compact checkpoint: small, exact, proved on load, and without pickle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from rarefy.masks import MaskMismatch
from rarefy.sparsity import CheckpointMismatch, load, save, sparsify


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10))


def test_round_trip_gives_the_same_bits(tmp_path: Path) -> None:
    model = network()
    sparsity = sparsify(model, density=0.2)
    model(torch.randn(4, 3, 3, 3))  # running statistics are part of the model
    save(model, sparsity, tmp_path / "model.safetensors")
    again = network()
    loaded = load(tmp_path / "model.safetensors", again)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert loaded.masks == sparsity.masks
    assert (loaded.masks.seed, loaded.seed) == (17, 17)


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    model = network()
    sparsity = sparsify(model, density=0.2)
    for name in "abcdef":
        save(model, sparsity, tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1


def test_static_masks_cost_nothing_but_the_kept_values(tmp_path: Path) -> None:
    model = nn.Linear(400, 500, bias=False)
    sparsity = sparsify(model, density=0.05)
    size, dense = save(model, sparsity, tmp_path / "model.safetensors")
    assert (size, dense) == ((tmp_path / "model.safetensors").stat().st_size, 4 * 200_000)
    assert 4 * sparsity.kept <= size < 4 * sparsity.kept + 600  # header
    assert load_file(tmp_path / "model.safetensors")["rarefy.values/weight"].shape == (10_000,)


def test_moved_masks_cost_a_bit_a_weight(tmp_path: Path) -> None:
    model = nn.Linear(400, 500, bias=False)
    sparsity = sparsify(model, density=0.05)
    sparsity.masks.replace("weight", sparsity.masks["weight"].roll(1, 0))
    sparsity.mask_weights_()
    size, _ = save(model, sparsity, tmp_path / "model.safetensors")
    assert 200_000 / 8 <= size - 4 * sparsity.kept < 200_000 / 8 + 700
    again = nn.Linear(400, 500, bias=False)
    assert load(tmp_path / "model.safetensors", again).masks == sparsity.masks
    assert torch.equal(again.weight, model.weight)


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(30, 16)
            self.head = nn.Linear(16, 30, bias=False)
            self.head.weight = self.embedding.weight

    model = Tied()
    save(model, sparsify(model, density=0.5, embeddings=True), tmp_path / "model.safetensors")
    again = Tied()
    load(tmp_path / "model.safetensors", again)
    assert torch.equal(again.head.weight, model.embedding.weight)
    assert again.head.weight is again.embedding.weight
    assert len(load_file(tmp_path / "model.safetensors")) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(tmp_path: Path, dtype: torch.dtype) -> None:
    model = nn.Linear(8, 4).to(dtype)
    save(model, sparsify(model, density=0.5), tmp_path / "model.safetensors")
    again = nn.Linear(8, 4).to(dtype)
    load(tmp_path / "model.safetensors", again)
    assert torch.equal(again.weight, model.weight)


def _tampered(tmp_path: Path, change: str) -> Path:
    model = network()
    path = tmp_path / "model.safetensors"
    save(model, sparsify(model, density=0.2), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    if change == "value":
        tensors["rarefy.values/0.weight"] = tensors["rarefy.values/0.weight"][:-1]
    if change == "seed":
        changed = metadata["rarefy"].replace('\\"seed\\": \\"17\\"', '\\"seed\\": \\"18\\"')
        assert changed != metadata["rarefy"]
        metadata["rarefy"] = changed
    if change == "lacks":
        tensors.pop("3.bias")
    save_file(tensors, path, metadata=metadata)
    return path


def test_a_missing_value_names_layer_and_both_counts(tmp_path: Path) -> None:
    path, model = _tampered(tmp_path, "value"), network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(MaskMismatch, match=r"'0.weight' keeps \d+ weights"):
        load(path, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # untouched


def test_another_seed_fails_the_checksum(tmp_path: Path) -> None:
    with pytest.raises(MaskMismatch, match="checksum"):
        load(_tampered(tmp_path, "seed"), network())


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=r"the file lacks '3.bias'"):
        load(_tampered(tmp_path, "lacks"), network())


def test_another_model_is_refused(tmp_path: Path) -> None:
    model = network()
    save(model, sparsify(model, density=0.2), tmp_path / "model.safetensors")
    wider = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(16, 10))
    with pytest.raises(CheckpointMismatch, match=r"has shape \(8,"):
        load(tmp_path / "model.safetensors", wider)


def test_no_file_and_no_safetensors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load(tmp_path / "none.safetensors", network())
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(CheckpointMismatch, match="damaged"):
        load(tmp_path / "bad.safetensors", network())
