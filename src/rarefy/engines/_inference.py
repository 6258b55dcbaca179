"""Compiles a trained network for predictions: captured as a whole where possible, else with sparse layers."""

from __future__ import annotations

import copy
import functools
import logging

import torch
from torch import Tensor, nn

from rarefy.engines import _measure
from rarefy.engines._compiled import CompiledNetwork, Ways, measure_costs, repeat_images, time_fastest
from rarefy.engines._cpu import KernelsMissing, SparseLinear, fuse, require_numba
from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.planes import CaptureError, PlanesLinear, PlanesNetwork, is_plain
from rarefy.engines._folding import fold_norms, watch_norms
from rarefy.engines._selection import select_layers
from rarefy.engines._swap import get_unsupported_reason, get_unsupported_reasons, make_dense_copy, make_layers_sparse
from rarefy.masks import Masks
from rarefy.models import prunable
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_LOG = logging.getLogger("rarefy")
_TOLERANCE = 1e-3  # of the largest output: sums in another order, over many layers


def compile_inference(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Compiles a copy of a sparse network for predictions on this machine. The network itself does not change.

    A network of convolutions, linear layers, batch norms, ReLU, pooling and sums is captured: it predicts in one call
    of a kernel that computes kept weights only. It is measured against torch's dense layers in both memory layouts,
    and, for inputs of 8 images and more, against sparse layers over blocks of 16 images. Each batch size then takes
    what is fastest, also in pieces. The result is fixed: it does not follow later changes of the network.

    Another network keeps its own forward, which runs at every call: batch norms are folded into the convolution or
    linear layer before them, and layers become sparse where that is faster on a batch like the inputs. A network whose
    forward depends on the data in a way that tracing notices, or draws random numbers in Python, keeps its batch norms.
    Where they are folded, every call checks that they still follow their layers.

    Args:
        model: A trained network, whatever its engine.
        inputs: Inputs of the shape and batch size that predictions will have. Other batch sizes work as well.

    Returns:
        A module in evaluation mode without gradients, with the outputs of the network in evaluation mode. Several
        threads may call it; it can be pickled. A network with its own forward raises ForwardChanged where that takes
        another path than when it was compiled.

    Example:
        >>> import rarefy, torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        >>> _ = rarefy.sparsify(model, density=0.1)
        >>> images = torch.ones(4, 3, 8, 8)
        >>> torch.allclose(compile_inference(model, images)(images), model.eval()(images), atol=1e-5)
        True
    """
    dense = make_dense_copy(model).eval().requires_grad_(False)
    fold_norms(dense)
    planes = _capture(dense, inputs)
    if planes is not None and len(inputs) < LANES // 2:  # not worth sparse layers over blocks
        return _compile(dense, None, planes, inputs)
    network = copy.deepcopy(dense)
    sample = inputs if planes is None else repeat_images(inputs, max(LANES, len(inputs)))
    is_sparse = _make_layers_sparse_if_faster(network, sample, has_planes=planes is not None)
    if planes is None:
        network = _use_planes_in_linear_layers(network, inputs)
        watch_norms(network)
        return network
    return _compile(dense, network if is_sparse else None, planes, inputs)


def _capture(dense: nn.Module, inputs: Tensor) -> PlanesNetwork | None:
    """Captures a network and compares its outputs; None, with a reason in the log, where that is not possible."""
    if not is_plain(inputs) or not len(inputs):
        return None
    try:
        require_numba()
        planes = PlanesNetwork.capture(dense, inputs)
        _compare_outputs(dense, planes, inputs)
    except (CaptureError, KernelsMissing) as error:
        _LOG.info("the network keeps its own forward: %s", error)
        return None
    return planes


def _compare_outputs(dense: nn.Module, planes: PlanesNetwork, inputs: Tensor) -> None:
    """Compares outputs on the inputs and on noise: a capture checks itself.

    Raises:
        CaptureError: If they differ by more than rounding.
    """
    few = inputs[:3].contiguous()
    noise = torch.randn(few.shape, generator=torch.Generator().manual_seed(0))
    for images in (few, noise):
        out = torch.empty((len(images), *planes.output_shape))
        planes.predict(images, 1, out)
        with torch.no_grad():
            expected = dense(images)
        limit = _TOLERANCE * float(expected.abs().nan_to_num().max())
        if not torch.allclose(out, expected, rtol=0, atol=limit, equal_nan=True):
            raise CaptureError(f"captured, its outputs differ by {float((out - expected).abs().max()):.3g}")


def _compile(dense: nn.Module, blocked: nn.Module | None, planes: PlanesNetwork, inputs: Tensor) -> CompiledNetwork:
    """Measures the ways of a captured network and puts them together."""
    ways = Ways(dense, _make_channels_last(dense, inputs), blocked, planes)
    costs = measure_costs(ways, inputs)
    compiled = CompiledNetwork(ways, costs)
    size = len(inputs)
    pieces = compiled.plan(size)
    time = sum(costs[piece.way].estimate(piece.images) for piece in pieces)
    best = min(costs[way].estimate(size) for way in costs if way in ("dense", "channels_last"))
    text = "compiled for inference: %s, %.3g ms instead of %.3g ms for %d images"
    _LOG.info(text, " + ".join(f"{piece.images} x {piece.way}" for piece in pieces), time, best, size)
    return compiled


def _make_channels_last(dense: nn.Module, inputs: Tensor) -> nn.Module | None:
    """Makes a copy in that memory layout; None where it does not work, or where nothing has rows and columns."""
    if inputs.ndim != 4:
        return None
    twin: nn.Module = copy.deepcopy(dense).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs
    try:
        with torch.no_grad():
            twin(inputs[:1].contiguous(memory_format=torch.channels_last))
    except RuntimeError:  # a view that needs the contiguous layout
        return None
    return twin


def _make_layers_sparse_if_faster(network: nn.Module, inputs: Tensor, *, has_planes: bool) -> bool:
    """Makes layers sparse in place where that is faster; logs why if none is."""
    sparsity = _read_sparsity(network)
    reason = "it has no convolution or linear layer" if sparsity is None else get_unsupported_reason(sparsity)
    if sparsity is not None and not reason:
        try:
            require_numba()
            reason = _make_sparse(network, sparsity, inputs)
        except KernelsMissing as error:
            _LOG.warning("compiled for inference with dense layers: %s", error)
            return False
    if reason and not has_planes:
        _LOG.info("compiled for inference with dense layers: %s", reason)
    return not reason


def _make_sparse(model: nn.Module, sparsity: Sparsity, inputs: Tensor) -> str:
    """Makes layers sparse in place where that is faster; returns why if none is."""
    supported = [name for name, reason in get_unsupported_reasons(model, sparsity).items() if not reason]
    if not supported:
        return "no layer has a sparse form or prunes anything"
    times = _measure.time_layers(model, sparsity, supported, inputs)
    selection = select_layers(
        supported, times, lambda candidates: _measure.time_predictions(model, sparsity, candidates, inputs)
    )
    if not selection.layers:
        return "the whole network is not faster with sparse layers than with dense ones"
    make_layers_sparse(model, sparsity, selection.layers)
    fuse(model)
    sparse, dense = (selection.milliseconds[how] for how in ("sparse", "dense"))
    text = "compiled for inference: %d of %d layers sparse, %.3g ms instead of %.3g ms"
    _LOG.info(text, len(selection.layers), len(sparsity.masks), sparse, dense)
    return ""


def _use_planes_in_linear_layers(network: nn.Module, inputs: Tensor) -> nn.Module:
    """Replaces sparse linear layers where the whole network is then faster: over tokens, rows fill whole vectors."""
    names = [name for name, module in network.named_modules() if isinstance(module, SparseLinear)]
    if not names or not is_plain(inputs):
        return network
    twin = copy.deepcopy(network)
    for name in names:
        layer = twin.get_submodule(name)
        assert isinstance(layer, SparseLinear)
        twin.set_submodule(name, PlanesLinear(layer.to_dense()))
    with torch.no_grad():
        before, after = (time_fastest(functools.partial(model, inputs)) for model in (network, twin))
    return network if before <= after else twin


def _read_sparsity(model: nn.Module) -> Sparsity | None:
    """Makes masks of the weights that are not 0; None for a model without prunable weights."""
    weights = prunable(model)
    masks = Masks({name: weight.detach() != 0 for name, weight in weights.items()})
    return Sparsity(model, masks, topology=TOPOLOGIES.build("static"), seed=0) if weights else None
