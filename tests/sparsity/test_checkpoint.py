"""The compact checkpoint: small, exact, proved on load, and without pickle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from rarefy.documents import DocumentError
from rarefy.errors import RarefyError
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
    loaded = load(again, tmp_path / "model.safetensors")
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
    assert load(again, tmp_path / "model.safetensors").masks == sparsity.masks
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
    load(again, tmp_path / "model.safetensors")
    assert torch.equal(again.head.weight, model.embedding.weight)
    assert again.head.weight is again.embedding.weight
    assert len(load_file(tmp_path / "model.safetensors")) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(tmp_path: Path, dtype: torch.dtype) -> None:
    model = nn.Linear(8, 4).to(dtype)
    save(model, sparsify(model, density=0.5), tmp_path / "model.safetensors")
    again = nn.Linear(8, 4).to(dtype)
    load(again, tmp_path / "model.safetensors")
    assert torch.equal(again.weight, model.weight)


def _tampered(tmp_path: Path, change: str) -> Path:
    model = network()
    path = tmp_path / "model.safetensors"
    save(model, sparsify(model, density=0.2), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    about = json.loads(metadata["rarefy"])
    del about["rarefy.checksum"]  # which would notice all of it
    metadata["rarefy"] = json.dumps(about)
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
        load(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # untouched


def test_another_seed_fails_the_checksum(tmp_path: Path) -> None:
    with pytest.raises(MaskMismatch, match="checksum"):
        load(network(), _tampered(tmp_path, "seed"))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=r"the file lacks '3.bias'"):
        load(network(), _tampered(tmp_path, "lacks"))


def test_another_model_is_refused(tmp_path: Path) -> None:
    model = network()
    save(model, sparsify(model, density=0.2), tmp_path / "model.safetensors")
    wider = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(16, 10))
    with pytest.raises(CheckpointMismatch, match=r"has shape \(8,"):
        load(wider, tmp_path / "model.safetensors")


def test_no_file_and_no_safetensors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load(network(), tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(CheckpointMismatch, match="damaged"):
        load(network(), tmp_path / "bad.safetensors")


GOLDEN = Path(__file__).parent / "golden"


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 5))


@pytest.mark.parametrize(
    ("name", "seed", "checksum"),
    [
        ("before_checksums", 17, "e6bd939691330f35b25d9843fde6ed82"),
        ("before_checksums_moved", None, "4ee79afda1890a28bd1e40e610ede3bf"),
    ],
)
def test_files_from_before_there_were_checksums_are_read(name: str, seed: int | None, checksum: str) -> None:
    """Files that rarefy wrote on 2026-11-28; what they hold was printed then."""
    model = small()
    loaded = load(model, GOLDEN / f"{name}.safetensors")
    assert (loaded.kept, loaded.masks.seed, loaded.masks.checksum()) == (32, seed, checksum)
    assert float(model.get_parameter("0.weight").detach().double().sum()) == pytest.approx(-0.50713119097054, abs=1e-12)


def described(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["rarefy"]), load_file(path)


def write(path: Path, about: dict[str, str], tensors: dict[str, torch.Tensor], *, checksum: bool = False) -> None:
    about = {name: text for name, text in about.items() if checksum or name != "rarefy.checksum"}
    save_file(tensors, path, metadata={"rarefy": json.dumps(about, sort_keys=True)})


def refused(path: Path, model: nn.Module) -> RarefyError:
    """The error; the model is as it was, and the file is named."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises((CheckpointMismatch, MaskMismatch, DocumentError)) as caught:
        load(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("every", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_no_bit_can_be_flipped_unnoticed(tmp_path: Path, moved: bool, every: int) -> None:
    """Bytes of the file, one bit each: refused with the model untouched, or the same values."""
    model, path = small(), tmp_path / "model.safetensors"
    sparsity = sparsify(model, density=0.25)
    if moved:
        sparsity.masks.replace("3.weight", sparsity.masks["3.weight"].roll(1, 0))
        sparsity.mask_weights_()
    save(model, sparsity, path)
    content, other = path.read_bytes(), small()
    undetected = 0
    for place in range(0, len(content), every):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            again = load(small(), path)
        except RarefyError:
            refused(path, other)
        else:
            undetected += 1
            assert again.masks == sparsity.masks
            assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), model.parameters(), strict=True))
    assert undetected < 20, "blanks that fill the header, and the name of the checksum itself"


def test_a_mask_of_another_size_costs_nothing(tmp_path: Path) -> None:
    """A kilobyte that claims a mask of 1.6 billion weights."""
    path = tmp_path / "model.safetensors"
    about, tensors = described(GOLDEN / "before_checksums.safetensors")
    masks = json.loads(about["rarefy.masks"])
    masks["layers"][0] |= {"shape": [40_000, 40_000], "kept": 800_000_000}
    write(path, about | {"rarefy.masks": json.dumps(masks)}, tensors)
    started = time.process_time()
    refused(path, small())
    assert time.process_time() - started < 2


ABOUT: dict[str, Callable[[dict[str, str]], Any]] = {
    "no seed": lambda about: about.pop("rarefy.seed"),
    "seed of words": lambda about: about.update({"rarefy.seed": "seventeen"}),
    "seed of digits": lambda about: about.update({"rarefy.seed": "1" * 5000}),
    "tied to nothing": lambda about: about.update({"rarefy.tied": '{"3.bias": "4.bias"}'}),
    "tied lists": lambda about: about.update({"rarefy.tied": "[1]"}),
    "tied, not JSON": lambda about: about.update({"rarefy.tied": "{"}),
    "deep": lambda about: about.update({"rarefy.tied": "[" * 50_000}),
    "numbers": lambda about: about.update({"rarefy.seed": 17}),
    "unknown": lambda about: about.update({"rarefy.other": "1"}),
    "no masks": lambda about: about.pop("rarefy.masks"),
    "masks of lists": lambda about: about.update({"rarefy.masks": "[]"}),
    "layers of numbers": lambda about: change(about, layers=[1, 2]),
    "layers that are none": lambda about: change(about, layers=3),
    "a version to come": lambda about: change(about, version=2),
    "seed of masks": lambda about: change(about, seed="x"),
    "other checksum": lambda about: change(about, checksum="0"),
    "infinite": lambda about: about.update({"rarefy.masks": about["rarefy.masks"].replace("19", "1e999")}),
}


def change(about: dict[str, str], **values: Any) -> None:
    about["rarefy.masks"] = json.dumps(json.loads(about["rarefy.masks"]) | values)


@pytest.mark.parametrize("name", ABOUT)
def test_metadata_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    about, tensors = described(GOLDEN / "before_checksums.safetensors")
    ABOUT[name](about)
    write(tmp_path / "model.safetensors", about, tensors)
    refused(tmp_path / "model.safetensors", small())


TENSORS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "values are missing": lambda tensors: tensors.pop("rarefy.values/3.weight"),
    "values as a dense weight": lambda tensors: (
        tensors.update({"3.weight": torch.ones(5, 4)}) or tensors.pop("rarefy.values/3.weight")
    ),
    "values of no layer": lambda tensors: tensors.update({"rarefy.values/9.weight": torch.ones(3)}),
    "integers": lambda tensors: tensors.update({"3.bias": torch.ones(5, dtype=torch.int64)}),
    "complex values": lambda tensors: tensors.update({"rarefy.values/3.weight": torch.ones(13, dtype=torch.complex64)}),
    "one more": lambda tensors: tensors.update({"4.bias": torch.ones(5)}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    about, tensors = described(GOLDEN / "before_checksums.safetensors")
    TENSORS[name](tensors)
    write(tmp_path / "model.safetensors", about, tensors)
    refused(tmp_path / "model.safetensors", small())


def test_values_changed_under_their_checksum_are_refused(tmp_path: Path) -> None:
    model = small()
    save(model, sparsify(model, density=0.25), tmp_path / "model.safetensors")
    about, tensors = described(tmp_path / "model.safetensors")
    assert len(about["rarefy.checksum"]) == 64
    tensors["3.bias"] += 1
    write(tmp_path / "model.safetensors", about, tensors, checksum=True)
    refused(tmp_path / "model.safetensors", small())
    write(tmp_path / "model.safetensors", about, tensors)
    load(small(), tmp_path / "model.safetensors")  # without it nobody knows


def test_the_order_of_earlier_versions_loads_with_a_warning(tmp_path: Path) -> None:
    model = small()
    save(model, sparsify(model, density=0.5), tmp_path / "model.safetensors")
    with pytest.warns(DeprecationWarning, match=r"load\(model, path\)"):
        sparsity = load(tmp_path / "model.safetensors", model)  # type: ignore[arg-type]
    assert sparsity.density == 0.5
