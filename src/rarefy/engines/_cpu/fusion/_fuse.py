"""Rewires what lies between sparse layers: the model's forward runs whole regions of them in blocks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase
from torch.fx.passes.shape_prop import ShapeProp

from rarefy.engines._cpu._ready import require
from rarefy.engines._cpu.fusion import _supported
from rarefy.engines._cpu.fusion._eager import keep_eager
from rarefy.engines._cpu.fusion._layers import SparseConv2d, SparseLinear

_LOG = logging.getLogger("rarefy")
_SPARSE = (SparseConv2d, SparseLinear)


def fuse(model: nn.Module, sample: Tensor) -> None:
    """Rewires what lies between sparse layers, in place: batch norm, ReLU, residual sums, pooling.

    The model's modules, parameters and buffers stay as they are, under their names; only its `forward` is another,
    which computes the same. It does nothing where it cannot: a model that cannot be traced, hooks on a layer, autocast,
    types other than float32 run as before. Call `unfuse` before layers are exchanged.

    Args:
        model: A model with sparse layers.
        sample: A batch of its input, for sizes.

    Raises:
        KernelsMissing: If numba cannot be imported.

    Example:
        >>> layer = SparseConv2d.from_dense(nn.Conv2d(3, 8, 3), torch.rand(8, 3, 3, 3) < 0.5)
        >>> model = nn.Sequential(layer, nn.BatchNorm2d(8), nn.ReLU())
        >>> images = torch.ones(2, 3, 8, 8)
        >>> fuse(model, images)
        >>> model(images).shape
        torch.Size([2, 8, 6, 6])
    """
    require()
    unfuse(model)
    model.__dict__["forward"] = _Fused(model, (sample if len(sample) > 1 else torch.cat([sample, sample]))[:2].detach())


def unfuse(model: nn.Module) -> None:
    """Undoes `fuse`; nothing happens to a model that is not fused.

    Example:
        >>> unfuse(nn.Linear(2, 2))
    """
    if isinstance(model.__dict__.get("forward"), _Fused):
        del model.__dict__["forward"]


class _Fused:
    """A model's forward, traced anew for every set of modules in training mode."""

    def __init__(self, model: nn.Module, sample: Tensor) -> None:
        self.model, self.sample = model, sample
        self.plans: dict[tuple[bool, ...], fx.GraphModule | None] = {}

    @keep_eager  # what torch compiles is what surrounds the model
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], Tensor) and args[0].dim() == self.sample.dim():
            modules = list(self.model.modules())
            mode = tuple(module.training for module in modules)
            if mode not in self.plans:
                self.plans[mode] = _plan(self.model, self.sample)
            plan = self.plans[mode]
            if plan is not None and _plain(args[0], modules):
                return plan(args[0])
        return type(self.model).forward(self.model, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """A copy traces its own model."""
        return {**self.__dict__, "plans": {}}


def _plain(inputs: Tensor, modules: list[nn.Module]) -> bool:
    """Whether nothing asks for the layers one by one."""
    if inputs.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    for module in modules[1:]:
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return False
        if isinstance(module, _SPARSE) and module.dense_gradient and torch.is_grad_enabled():
            return False
    return inputs.numel() > 0


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, _SPARSE) or super().is_leaf_module(module, qualified_name)


class _Known(OperatorSupportBase):
    def is_node_supported(self, submodules: Any, node: fx.Node) -> bool:
        return _supported.kind(node, dict(submodules)) is not None


class _Part(nn.Module):
    """A region in place of a piece of the traced model, which stays for what the region cannot take."""

    def __init__(self, piece: fx.GraphModule) -> None:
        super().__init__()
        from rarefy.engines._cpu.fusion._build import Builder

        self.piece = piece
        self.region = Builder(piece.graph, dict(piece.named_modules())).build()
        (output,) = (node for node in piece.graph.nodes if node.op == "output")
        self.single = not isinstance(output.args[0], tuple | list)

    def forward(self, *tensors: Tensor) -> Any:
        results = self.region(*tensors)
        return results[0] if self.single else results


def _plan(model: nn.Module, sample: Tensor) -> fx.GraphModule | None:
    """The traced model with a region for every piece the kernels know; None where it cannot be traced."""
    own = model.__dict__.pop("forward")
    try:
        traced = fx.GraphModule(model, _Tracer().trace(model))
        with _undisturbed(model):
            ShapeProp(traced).propagate(sample)
        partitioner = CapabilityBasedPartitioner(traced, _Known(), allows_single_node_partition=True)
        pieces = [piece for piece in partitioner.propose_partitions() if _worth(piece.nodes, traced)]
        if not pieces:
            return None
        fused = partitioner.fuse_partitions(pieces)
        for name, module in list(fused.named_children()):
            if name.startswith("fused_") and isinstance(module, fx.GraphModule):
                setattr(fused, name, _Part(module))
        return fused
    except Exception as error:  # whatever a model does that cannot be traced: it runs as it is
        _LOG.info("The model's layers run one by one: it cannot be traced (%s: %s).", type(error).__name__, error)
        return None
    finally:
        model.__dict__["forward"] = own


def _worth(nodes: Any, traced: fx.GraphModule) -> bool:
    modules = dict(traced.named_modules())
    return any(node.op == "call_module" and isinstance(modules[str(node.target)], _SPARSE) for node in nodes)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Buffers and torch's generator are afterwards as they were."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
