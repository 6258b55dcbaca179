"""ONNX, for ONNX Runtime, OpenVINO, TensorRT and others."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy
import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.installation import import_extra
from rarefy.pipeline._load_run import TrainedNetwork
from rarefy.pipeline.formats._registry import FORMATS, ExportFailed
from rarefy.pipeline.formats._trace import check_batch, trace

_OLDEST, _NEWEST = 18, 23  # opsets that torch's exporter writes
_LARGEST = 2**31 - 1  # bytes of a protobuf message


@FORMATS.register("onnx")
@dataclasses.dataclass(frozen=True)
class Onnx:
    """An ``.onnx`` file with the input ``images`` (normalised, float32 [N, C, H, W]) and the output ``logits``.

    Classes, mean and deviation are in the file's metadata.

    Args:
        batch: Images per batch; 0: any number.
        fold: Whether each batch norm is folded into the layer before it.
        sparse: Whether weights are sparse initializers (values and int64 indices) where that is smaller. Runtimes
            expand them when they load the file.
        opset: Version of the operators.

    Raises:
        InvalidInput: If the batch is negative or the opset is not one that is written.

    Example:
        >>> FORMATS.build("onnx", sparse=True)
        Onnx(batch=0, fold=True, sparse=True, opset=18)
    """

    batch: int = 0
    fold: bool = True
    sparse: bool = False
    opset: int = 18

    ending: ClassVar[str] = ".onnx"
    reader: ClassVar[str] = "onnxruntime"

    def __post_init__(self) -> None:
        """Checks the options' ranges."""
        check_batch(self.batch)
        if not _OLDEST <= self.opset <= _NEWEST:
            raise InvalidInput(f"opset is {_OLDEST} to {_NEWEST}; got {self.opset}", name="opset", value=self.opset)

    def require_packages(self) -> None:
        """Needs onnx, onnxscript and onnxruntime."""
        for package in ("onnx", "onnxscript", "onnxruntime"):
            import_extra(package, "export", needed_by="The format onnx")

    def write(self, network: TrainedNetwork, path: Path) -> str:
        """Converts and writes the network; the remark says what sparse initializers save."""
        model = _convert(trace(network, self.batch), self)
        _describe(model, network)
        _name_batch(model.graph)
        dense, remark = model.ByteSize(), ""
        if self.sparse:
            count = _compress(model.graph)
            remark = f"{count} sparse initializers: {model.ByteSize():,} bytes instead of {dense:,}"
        if model.ByteSize() > _LARGEST:
            raise ExportFailed(
                f"An .onnx file has at most {_LARGEST:,} bytes; this network needs {model.ByteSize():,}."
            )
        path.write_bytes(model.SerializeToString())
        return remark

    def read(self, path: Path, network: TrainedNetwork) -> Callable[[Tensor], Tensor]:
        """Opens the file in ONNX Runtime, on the CPU."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def _convert(program: Any, options: Onnx) -> Any:
    """Converts an exported program to an onnx.ModelProto without batch norms, if they are folded."""
    from onnxscript import optimizer

    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"], "opset_version": options.opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about itself
        result = torch.onnx.export(program, (), dynamo=True, verbose=False, optimize=options.fold, **names)
    if result is None:
        raise ExportFailed("torch.onnx.export returned nothing.")
    if not options.fold:
        optimizer.fold_constants(result.model)
        optimizer.remove_unused_nodes(result.model)
    return result.model_proto


def _describe(model: Any, network: TrainedNetwork) -> None:
    """Replaces torch's notes, which hold paths of this machine, by what a user of the file needs."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
    notes = {"classes": network.class_names, "mean": network.spec.mean, "std": network.spec.std}
    for name, value in notes.items():
        model.metadata_props.add(key=name, value=json.dumps(value))
    model.metadata_props.add(key="rarefy_run", value=network.record.id)


def _name_batch(graph: Any) -> None:
    """Names the number of images ``batch`` where it may vary; torch numbers it."""
    number = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if number and dimension.dim_param == number:
                dimension.dim_param = "batch"


def _compress(graph: Any) -> int:
    """Makes initializers sparse where that is smaller; returns how many."""
    from onnx import helper, numpy_helper

    count = 0
    for initializer in list(graph.initializer):
        values = numpy_helper.to_array(initializer).reshape(-1)
        kept = numpy.flatnonzero(values)
        indices = numpy_helper.from_array(kept, f"{initializer.name}_indices")
        sparse = helper.make_sparse_tensor(
            numpy_helper.from_array(values[kept], initializer.name), indices, list(initializer.dims)
        )
        if len(kept) and sparse.ByteSize() < initializer.ByteSize():
            graph.sparse_initializer.append(sparse)
            graph.initializer.remove(initializer)
            count += 1
    return count
