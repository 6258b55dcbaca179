"""What every format promises: nothing unchecked is left behind, mistakes are told before any work."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import rarefy
from rarefy.errors import InvalidInput, MissingPackage
from rarefy.pipeline import TrainedNetwork
from rarefy.pipeline.formats import FORMATS, ExportFailed
from rarefy.pipeline.formats.safetensors import Safetensors
from rarefy.registry import UnknownName, UnknownOption, list_file_names


def test_every_file_is_a_format() -> None:
    assert list_file_names("pipeline/formats") == FORMATS.names() == ["hub", "onnx", "safetensors", "torch"]


@dataclasses.dataclass(frozen=True)
class Wrong(Safetensors):
    """A format whose reader gives other results."""

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        return lambda images: network.model(images) + 0.5


@dataclasses.dataclass(frozen=True)
class Nan(Safetensors):
    """A format whose reader gives no numbers."""

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        return lambda images: network.model(images) * torch.nan


@pytest.mark.parametrize("kind", [Wrong, Nan])
def test_what_reads_differently_is_not_left_behind(
    kind: type, network: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FORMATS, "build", lambda name, **options: kind())
    (tmp_path / "old.safetensors").write_text("old")
    with pytest.raises(ExportFailed) as caught:
        rarefy.export(network, "wrong", tmp_path / "old.safetensors")
    assert caught.value.difference != 0
    assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]
    assert (tmp_path / "old.safetensors").read_text() == "old"


def test_a_missing_package_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackage) as caught:
        rarefy.export("there-is-no-such-run", "onnx")
    assert (caught.value.package, caught.value.extra) == ("onnx", "export")


def test_wrong_formats_options_and_places(network: TrainedNetwork, tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        rarefy.export(network, "onyx")
    with pytest.raises(UnknownOption):
        rarefy.export(network, "torch", sparse=True)
    for to, options in (("onnx", {"opset": 5}), ("torch", {"batch": -1})):
        with pytest.raises(ValueError, match="got"):
            rarefy.export(network, to, **options)
    (tmp_path / "file").touch()
    own = (network.folder / "model.safetensors", network.folder)
    for to, path in (
        ("safetensors", tmp_path),
        ("hub", tmp_path / "file"),
        ("safetensors", own[0]),
        ("hub", own[1]),
        ("onnx", tmp_path / "a.pt2"),
    ):
        with pytest.raises(InvalidInput):
            rarefy.export(network, to, path)
    with pytest.raises(InvalidInput, match=r"ends with \.pt2"):
        rarefy.export(network, "torch", tmp_path / "network.onnx")
    assert rarefy.load_run(network.folder).sparsity.kept == network.sparsity.kept


def test_images_to_compare_with(network: TrainedNetwork, images: Tensor, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", images=images.numpy())
    report = rarefy.export(network, "safetensors", tmp_path / "a.safetensors", images=[tmp_path / "some.npz"])
    assert (report.images, report.source) == (7, str(tmp_path / "some.npz"))
    published = Path(__file__).parents[3] / "experiments" / "results" / "465feb064986"
    report = rarefy.export(published, "safetensors", tmp_path / "b.safetensors", data_dir=tmp_path)
    assert report.source.startswith("random numbers, as cifar10 is not in")
