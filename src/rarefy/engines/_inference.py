"""Compiles a trained network for predictions: batch norms folded into the layers before them, sparse layers."""

from __future__ import annotations

import logging

from torch import Tensor, nn

from rarefy.engines import _measure
from rarefy.engines._cpu import KernelsMissing, fuse, require_numba
from rarefy.engines._folding import fold_norms, watch_norms
from rarefy.engines._selection import select_layers
from rarefy.engines._swap import get_unsupported_reason, get_unsupported_reasons, make_dense_copy, make_layers_sparse
from rarefy.masks import Masks
from rarefy.models import prunable
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_LOG = logging.getLogger("rarefy")


def compile_inference(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Compiles a copy of a sparse network for predictions on this machine. The network itself does not change.

    Batch norm is folded into the convolution or linear layer before it. Layers become sparse where that is faster on a
    batch like the inputs; if the whole network is not faster so, all layers stay dense. Other batch sizes work as well.

    The network's own forward runs at every call. A network whose forward depends on the data in a way that tracing
    notices, or draws random numbers in Python, keeps its batch norms. Where they are folded, every call checks that
    they still follow their layers.

    Args:
        model: A trained network, whatever its engine.
        inputs: Inputs of the shape and batch size that predictions will have.

    Returns:
        A module in evaluation mode without gradients, with the outputs of the network in evaluation mode. Several
        threads may call it. It raises ForwardChanged where its forward takes another path than when it was compiled.

    Example:
        >>> import rarefy, torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        >>> _ = rarefy.sparsify(model, density=0.1)
        >>> images = torch.ones(4, 3, 8, 8)
        >>> torch.allclose(compile_inference(model, images)(images), model.eval()(images), atol=1e-5)
        True
    """
    folded = make_dense_copy(model).eval().requires_grad_(False)
    fold_norms(folded)
    sparsity = _read_sparsity(folded)
    reason = "it has no convolution or linear layer" if sparsity is None else get_unsupported_reason(sparsity)
    if sparsity is not None and not reason:
        try:
            require_numba()
            reason = _make_sparse(folded, sparsity, inputs)
        except KernelsMissing as error:
            _LOG.warning("compiled for inference with dense layers: %s", error)
    if reason:
        _LOG.info("compiled for inference with dense layers: %s", reason)
    watch_norms(folded)
    return folded


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


def _read_sparsity(model: nn.Module) -> Sparsity | None:
    """Makes masks of the weights that are not 0; None for a model without prunable weights."""
    weights = prunable(model)
    masks = Masks({name: weight.detach() != 0 for name, weight in weights.items()})
    return Sparsity(model, masks, topology=TOPOLOGIES.build("static"), seed=0) if weights else None
