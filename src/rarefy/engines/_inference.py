"""A trained network for predictions: batch norm folded into the layers before it, sparse where that is faster."""

from __future__ import annotations

import logging

from torch import Tensor, nn

from rarefy.engines import _measure
from rarefy.engines._choice import choose
from rarefy.engines._cpu import KernelsMissing, compile_kernels, fuse
from rarefy.engines._folding import fold_norms, watch_norms
from rarefy.engines._swap import make_dense_copy, obstacle, obstacles, swap
from rarefy.masks import Masks
from rarefy.models import prunable
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_LOG = logging.getLogger("rarefy")


def compile_inference(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Compiles a copy of a sparse network for predictions on this machine; the network itself is left as it is.

    Batch norm is folded into the convolution or linear layer before it. Weights that are 0 are not computed with, where
    that is faster on a batch like the inputs; if the whole network is not faster so, all layers stay dense. Other batch
    sizes give results as well.

    The network's own forward runs at every call. A forward that is seen to choose its way by the data, or that draws
    random numbers in Python, keeps its batch norms; where they are folded, every call checks that they still follow
    their layers.

    Args:
        model: A trained network, whatever engine is installed in it.
        inputs: Inputs as they will come, of the batch size that matters.

    Returns:
        A module in evaluation mode without gradients, which gives what the network gives in evaluation mode. It may be
        called from several threads, and raises ForwardChanged where its forward takes another way than it took here.

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
    sparsity = _zeros_of(folded)
    reason = "it has no convolution or linear layer" if sparsity is None else obstacle(sparsity)
    if sparsity is not None and not reason:
        try:
            compile_kernels()
            reason = _make_sparse(folded, sparsity, inputs)
        except KernelsMissing as error:
            _LOG.warning("compiled for inference with dense layers: %s", error)
    if reason:
        _LOG.info("compiled for inference with dense layers: %s", reason)
    watch_norms(folded)
    return folded


def _make_sparse(model: nn.Module, sparsity: Sparsity, inputs: Tensor) -> str:
    """Makes layers sparse in place; the reason if it makes none so."""
    able = [name for name, why in obstacles(model, sparsity).items() if not why]
    if not able:
        return "no layer has a sparse form or prunes anything"
    times = _measure.layer_times(model, sparsity, able, inputs)
    choice = choose(able, times, lambda plans: _measure.prediction_times(model, sparsity, plans, inputs))
    if not choice.layers:
        return "the whole network is not faster with sparse layers than with dense ones"
    swap(model, sparsity, choice.layers)
    fuse(model)
    text = "compiled for inference: %d of %d layers sparse, %.3g ms instead of %.3g ms"
    _LOG.info(text, len(choice.layers), len(sparsity.masks), *(choice.milliseconds[how] for how in ("sparse", "dense")))
    return ""


def _zeros_of(model: nn.Module) -> Sparsity | None:
    weights = prunable(model)
    masks = Masks({name: weight.detach() != 0 for name, weight in weights.items()})
    return Sparsity(model, masks, topology=TOPOLOGIES.build("static"), seed=0) if weights else None
