"""ONNX files, opened in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import rarefy
from rarefy.pipeline import TrainedNetwork


def require_onnx() -> Any:
    pytest.importorskip("onnx", reason="needs the extra export")
    pytest.importorskip("onnxscript", reason="needs the extra export")
    return pytest.importorskip("onnxruntime", reason="needs the extra export")


def open_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    session = require_onnx().InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def test_onnx(network: TrainedNetwork, tmp_path: Path, compare: Callable) -> None:
    require_onnx()
    import onnx

    path = tmp_path / "network.onnx"
    report = rarefy.export(network, "onnx", path, sparse=True)
    assert (report.agreement, report.images, report.source) == (1, 64, "validation images of digits")
    assert 0 <= report.difference < 1e-4
    assert report.bytes == path.stat().st_size
    compare(open_onnx(path))
    model = onnx.load(path)
    onnx.checker.check_model(model)
    kinds = {node.op_type for node in model.graph.node}
    assert "Conv" in kinds and "BatchNormalization" not in kinds
    assert len(model.graph.sparse_initializer) > 3
    notes = {item.key: item.value for item in model.metadata_props}
    assert json.loads(notes["classes"]) == list("0123456789")
    assert json.loads(notes["mean"]) == [0.2866]
    assert str(Path(rarefy.__file__).parent).encode() not in path.read_bytes()  # no paths of this machine


@pytest.mark.slow
@pytest.mark.parametrize("batch", [0, 4])
def test_onnx_of_a_fixed_batch_with_its_norms(
    batch: int, network: TrainedNetwork, images: Tensor, tmp_path: Path
) -> None:
    require_onnx()
    import onnx

    report = rarefy.export(network, "onnx", tmp_path / "network.onnx", batch=batch, fold=False)
    assert report.difference < 1e-4
    model = onnx.load(tmp_path / "network.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("BatchNormalization") == sum("BatchNorm" in str(type(m)) for m in network.model.modules())
    assert "Expand" not in kinds
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert (first.dim_value, first.dim_param) == ((4, "") if batch else (0, "batch"))
    dense = (tmp_path / "network.onnx").stat().st_size
    sparse = rarefy.export(network, "onnx", tmp_path / "sparse.onnx", batch=batch, fold=False, sparse=True)
    assert sparse.bytes < dense and f"{dense:,}" in sparse.remark
