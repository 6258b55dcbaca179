"""A trained network for predictions: batch norm folded into the layers before it, sparse where that is faster."""

from __future__ import annotations

import copy
import logging
import random
from collections import Counter
from typing import Any

import numpy as np
import torch
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
    """Folds batch norm, in place, wherever it follows a layer that nothing else follows; the forward stays the model's.

    The trace only says what follows what: the model's own forward runs at every call, with an Identity in the place of
    a batch norm that was folded.
    """
    try:
        graph, modules = _trace(copy.deepcopy(model))
    except Exception as error:  # a network may do anything in its forward, and tracing fail at it in any way
        _LOG.info("batch norm stays as it is: the network cannot be traced (%s: %s)", type(error).__name__, error)
        return model
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if _is_foldable(modules, node, calls):
            _fold(model, str(node.args[0].target), str(node.target))
    return model


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module]]:
    """The graph of a model's forward and its modules.

    Raises:
        RuntimeError: If the forward draws random numbers while it is traced: what it does then says nothing of later.
    """
    before = _generators()
    graph = fx.Tracer().trace(model)
    if _generators() != before:
        raise RuntimeError("its forward draws random numbers in Python")
    return graph, dict(model.named_modules())


def _generators() -> tuple[object, ...]:
    """States of the global generators, to be compared."""
    return random.getstate(), torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state())


def _fold(model: nn.Module, layer: str, norm: str) -> None:
    before: Any = model.get_submodule(layer)
    after: Any = model.get_submodule(norm)
    fold = fuse_linear_bn_eval if isinstance(before, nn.Linear) else fuse_conv_bn_eval
    model.set_submodule(layer, fold(before, after).requires_grad_(False))
    model.set_submodule(norm, nn.Identity())


def _is_foldable(modules: dict[str, nn.Module], node: fx.Node, calls: Counter[Any]) -> bool:
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
        return False
    norm, layer = modules[str(node.target)], modules[str(before.target)]
    fits = (type(norm), type(layer)) in {(nn.BatchNorm2d, nn.Conv2d), (nn.BatchNorm1d, nn.Linear)}
    once = len(before.users) == calls[before.target] == calls[node.target] == 1
    return fits and once and _names(modules, norm) == _names(modules, layer) == 1 and _has_statistics(norm)


def _names(modules: dict[str, nn.Module], module: nn.Module) -> int:
    """Under how many names a module is registered; of several, tracing knows the first alone."""
    return sum(one is module for one in modules.values())


def _has_statistics(norm: nn.Module) -> bool:
    hooks = (norm._forward_hooks, norm._forward_pre_hooks)
    return getattr(norm, "running_mean", None) is not None and not any(hooks)
