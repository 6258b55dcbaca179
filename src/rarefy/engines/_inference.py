"""A trained network for predictions: batch norm folded into the layers before it, sparse where that is faster."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from rarefy.engines import _measure
from rarefy.engines._choice import choose
from rarefy.engines._cpu import KernelsMissing, fuse, ready
from rarefy.engines._swap import dense_copy, obstacle, obstacles, swap
from rarefy.masks import Masks
from rarefy.models import prunable
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_LOG = logging.getLogger("rarefy")


def compile_inference(model: nn.Module, sample: Tensor) -> nn.Module:
    """Compiles a copy of a sparse network for predictions on this machine; the network itself is left as it is.

    Batch norm is folded into the convolution or linear layer before it. Weights that are 0 are not computed with, where
    that is faster on a batch like the sample; if the whole network is not faster so, all layers stay dense. Other batch
    sizes give results as well.

    Args:
        model: A trained network, whatever engine is installed in it.
        sample: Inputs as they will come, of the batch size that matters.

    Returns:
        A module in evaluation mode without gradients, which gives what the network gives in evaluation mode.

    Example:
        >>> import rarefy, torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        >>> _ = rarefy.sparsify(model, density=0.1)
        >>> images = torch.ones(4, 3, 8, 8)
        >>> torch.allclose(compile_inference(model, images)(images), model.eval()(images), atol=1e-5)
        True
    """
    folded = _folded(dense_copy(model).eval().requires_grad_(False))
    sparsity = _zeros_of(folded)
    reason = "it has no convolution or linear layer" if sparsity is None else obstacle(sparsity)
    if sparsity is not None and not reason:
        try:
            ready()
            reason = _make_sparse(folded, sparsity, sample)
        except KernelsMissing as error:
            _LOG.warning("compiled for inference with dense layers: %s", error)
    if reason:
        _LOG.info("compiled for inference with dense layers: %s", reason)
    return folded


def _make_sparse(model: nn.Module, sparsity: Sparsity, sample: Tensor) -> str:
    """Makes layers sparse in place; the reason if it makes none so."""
    able = [name for name, why in obstacles(model, sparsity).items() if not why]
    if not able:
        return "no layer has a sparse form or prunes anything"
    times = _measure.layer_times(model, sparsity, able, sample)
    choice = choose(able, times, lambda plans: _measure.prediction_times(model, sparsity, plans, sample))
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


def _folded(model: nn.Module) -> nn.Module:
    """The network with batch norm folded away wherever it follows a layer that nothing else follows."""
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # a network may do anything in its forward, and tracing fail at it in any way
        _LOG.info("batch norm stays as it is: the network cannot be traced (%s: %s)", type(error).__name__, error)
        return model
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        if _is_foldable(traced, node, calls):
            before = node.args[0]
            _fold(traced, str(before.target), str(node.target))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _fold(traced: fx.GraphModule, layer: str, norm: str) -> None:
    before: Any = traced.get_submodule(layer)
    after: Any = traced.get_submodule(norm)
    fold = fuse_linear_bn_eval if isinstance(before, nn.Linear) else fuse_conv_bn_eval
    traced.set_submodule(layer, fold(before, after).requires_grad_(False))


def _is_foldable(traced: fx.GraphModule, node: fx.Node, calls: Counter[object]) -> bool:
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
        return False
    norm, layer = traced.get_submodule(str(node.target)), traced.get_submodule(str(before.target))
    fits = (type(norm), type(layer)) in {(nn.BatchNorm2d, nn.Conv2d), (nn.BatchNorm1d, nn.Linear)}
    once = len(before.users) == calls[before.target] == 1
    return fits and once and getattr(norm, "running_mean", None) is not None
