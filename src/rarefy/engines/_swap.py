"""Puts compact layers in the places of dense ones, and dense ones back."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from rarefy.engines._cpu import SparseConv2d, SparseLinear, unfuse
from rarefy.engines._semi_structured import make_dense
from rarefy.errors import RarefyError
from rarefy.sparsity import Compact, Sparsity, keep_pattern_in_state, stays_dense
from rarefy.topology import TOPOLOGIES

Compact.register(SparseLinear)
Compact.register(SparseConv2d)

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class EngineError(RarefyError, ValueError):
    """An engine that cannot be had for this model; the message says why and which can."""


def obstacle(sparsity: Sparsity) -> str:
    """Why no layer of a model can be compact; empty where some can."""
    devices = {str(weight.device) for weight in sparsity.weights().values()} - {"cpu"}
    if devices:
        return f"the model is on {', '.join(sorted(devices))}"
    if sparsity.reserve:
        return f"the topology {TOPOLOGIES.name_of(sparsity.topology)!r} trains pruned weights too"
    if stays_dense(sparsity.topology):
        name = TOPOLOGIES.name_of(sparsity.topology)
        return f"the topology {name!r} looks at dense gradients or moves weights between layers, in several processes"
    return ""


def obstacles(model: nn.Module, sparsity: Sparsity) -> dict[str, str]:
    """Layer name to the reason why it has to stay dense; empty where it can be compact."""
    owners = sparsity.owners()
    parameters = [id(p) for module in model.modules() for p in module._parameters.values() if p is not None]
    shared = {key for key in parameters if parameters.count(key) > 1}
    found = {}
    for name, mask in sparsity.masks.items():
        weight = sparsity.weights()[name]
        if owners[name] in (model, sparsity.model):
            found[name] = "is the model itself and has no place in another module"
        elif id(weight) in shared:
            found[name] = "shares its weight with another layer"
        else:
            found[name] = _obstacle(owners[name]) or _extreme(mask, sparsity.final[name])
    return found


def _extreme(mask: Tensor, final: int) -> str:
    if bool(mask.all()) and final == mask.numel():
        return "keeps every weight"
    return "" if bool(mask.any()) else "keeps no weight"


def _obstacle(module: nn.Module) -> str:
    if type(module) not in (nn.Linear, nn.Conv2d):
        return f"is a {type(module).__name__}, which has no sparse form"
    if any(getattr(module, hooks) for hooks in _HOOKS):
        return "has hooks of its own"
    if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
        return "is depthwise"
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        return f"pads with {module.padding_mode}"
    return ""


def swap(model: nn.Module, sparsity: Sparsity, names: Iterable[str]) -> None:
    """Makes the layers of these names compact, in place in their parents."""
    owners, masks = sparsity.owners(), sparsity.masks
    compact = {name: compact_layer(owners[name], masks[name]) for name in names}
    _exchange(model, sparsity, {name: owners[name] for name in compact}, compact)


def restore(model: nn.Module, sparsity: Sparsity) -> None:
    """Makes every compact layer dense again: kept weights bit for bit, others exactly 0."""
    owners = {name: owner for name, owner in sparsity.owners().items() if isinstance(owner, Compact)}
    _exchange(model, sparsity, owners, {name: _dense(layer) for name, layer in owners.items()})


def make_dense_copy(model: nn.Module) -> nn.Module:
    """A copy of a model in which every layer is dense, whatever engine is installed; for what looks at all weights.

    Args:
        model: Any model; it is not changed.

    Example:
        >>> make_dense_copy(nn.Linear(4, 2))
        Linear(in_features=4, out_features=2, bias=True)
    """
    twin = copy.deepcopy(model)
    unfuse(twin)
    make_dense(twin)
    layers: dict[nn.Module, nn.Module] = {m: _dense(m) for m in twin.modules() if isinstance(m, Compact)}
    return _replace(twin, layers)


def compact_layer(module: nn.Module, mask: Tensor) -> nn.Module:
    """A layer with the kept weights of a dense one."""
    layer: nn.Module
    if isinstance(module, nn.Linear):
        layer = SparseLinear.from_dense(module, mask.cpu())
    else:
        assert isinstance(module, nn.Conv2d)
        layer = SparseConv2d.from_dense(module, mask.cpu())
    keep_pattern_in_state(layer)
    return layer.train(module.training)


def _dense(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, (SparseLinear, SparseConv2d))
    return layer.to_dense().train(layer.training)


def _exchange(model: nn.Module, sparsity: Sparsity, old: Mapping[str, nn.Module], new: Mapping[str, nn.Module]) -> None:
    sparsity.exchange(new)
    _replace(model, {old[name]: new[name] for name in new})


def _replace(model: nn.Module, layers: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Exchanges modules wherever they are registered; the model itself may be one of them, and is returned."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in layers:
                parent._modules[name] = layers[child]
    return layers.get(model, model)
