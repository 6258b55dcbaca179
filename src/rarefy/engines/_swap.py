"""Replaces dense layers of a model by layers that store kept values only, and back."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from rarefy.engines._cpu import SparseConv2d, SparseLinear, unfuse
from rarefy.engines._semi_structured import undo_semi_structured
from rarefy.engines._torch_internals import has_hooks
from rarefy.errors import RarefyError
from rarefy.sparsity import Sparsity, ValueStorageLayer, keep_pattern_in_state, stays_dense
from rarefy.topology import TOPOLOGIES

ValueStorageLayer.register(SparseLinear)
ValueStorageLayer.register(SparseConv2d)


class EngineError(RarefyError, ValueError):
    """An engine does not work for this model. The message says why and which engine does."""


def get_unsupported_reason(sparsity: Sparsity) -> str:
    """Returns why no layer of a model can be sparse; empty where some can."""
    devices = {str(weight.device) for weight in sparsity.weights().values()} - {"cpu"}
    if devices:
        return f"the model is on {', '.join(sorted(devices))}"
    if sparsity.masked_model.dormant is not None:
        return f"the topology {TOPOLOGIES.name_of(sparsity.topology)!r} trains pruned weights too"
    if stays_dense(sparsity.topology):
        name = TOPOLOGIES.name_of(sparsity.topology)
        return f"the topology {name!r} looks at dense gradients or moves weights between layers, in several processes"
    return ""


def get_unsupported_reasons(model: nn.Module, sparsity: Sparsity) -> dict[str, str]:
    """Returns, for each layer name, why the layer has to stay dense; empty where it can be sparse."""
    owners, shared, reasons = sparsity.masked_model.modules(), _find_shared_parameters(model), {}
    for name, mask in sparsity.masks.items():
        if owners[name] in (model, sparsity.model):
            reasons[name] = "is the model itself and has no place in another module"
        elif id(sparsity.weights()[name]) in shared:
            reasons[name] = "shares its weight with another layer"
        else:
            reasons[name] = _get_layer_reason(owners[name]) or _get_mask_reason(mask, sparsity.final[name])
    return reasons


def _find_shared_parameters(model: nn.Module) -> set[int]:
    """Finds the ids of parameters that several modules have."""
    parameters = [
        id(parameter)
        for module in model.modules()
        for _, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
    ]
    return {key for key in parameters if parameters.count(key) > 1}


def _get_mask_reason(mask: Tensor, final: int) -> str:
    if bool(mask.all()) and final == mask.numel():
        return "keeps every weight"
    return "" if bool(mask.any()) else "keeps no weight"


def _get_layer_reason(module: nn.Module) -> str:
    if type(module) not in (nn.Linear, nn.Conv2d):
        return f"is a {type(module).__name__}, which has no sparse form"
    if has_hooks(module):
        return "has hooks of its own"
    if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
        return "is depthwise"
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        return f"pads with {module.padding_mode}"
    return ""


def make_layers_sparse(model: nn.Module, sparsity: Sparsity, names: Iterable[str]) -> None:
    """Replaces the layers of these names by sparse ones, in place."""
    owners, masks = sparsity.masked_model.modules(), sparsity.masks
    layers = {name: make_sparse_layer(owners[name], masks[name]) for name in names}
    _replace_layers(model, sparsity, {name: owners[name] for name in layers}, layers)


def make_layers_dense(model: nn.Module, sparsity: Sparsity) -> None:
    """Replaces every sparse layer by a dense one, in place: kept weights bit for bit, others exactly 0."""
    owners = {
        name: owner for name, owner in sparsity.masked_model.modules().items() if isinstance(owner, ValueStorageLayer)
    }
    _replace_layers(model, sparsity, owners, {name: _make_dense_layer(layer) for name, layer in owners.items()})


def make_dense_copy(model: nn.Module) -> nn.Module:
    """Copies a model with every layer dense, whatever its engine: for code that reads all weights.

    Args:
        model: Any model; it is not changed.

    Example:
        >>> make_dense_copy(nn.Linear(4, 2))
        Linear(in_features=4, out_features=2, bias=True)
    """
    twin = copy.deepcopy(model)
    unfuse(twin)
    undo_semi_structured(twin)
    layers: dict[nn.Module, nn.Module] = {
        m: _make_dense_layer(m) for m in twin.modules() if isinstance(m, ValueStorageLayer)
    }
    return _replace_modules(twin, layers)


def make_sparse_layer(module: nn.Module, mask: Tensor) -> nn.Module:
    """Makes a layer that stores the kept weights of a dense one."""
    layer: nn.Module
    if isinstance(module, nn.Linear):
        layer = SparseLinear.from_dense(module, mask.cpu())
    else:
        assert isinstance(module, nn.Conv2d)
        layer = SparseConv2d.from_dense(module, mask.cpu())
    keep_pattern_in_state(layer)
    return layer.train(module.training)


def _make_dense_layer(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, (SparseLinear, SparseConv2d))
    return layer.to_dense().train(layer.training)


def _replace_layers(
    model: nn.Module, sparsity: Sparsity, old: Mapping[str, nn.Module], new: Mapping[str, nn.Module]
) -> None:
    sparsity.masked_model.rebind_modules(new)
    _replace_modules(model, {old[name]: new[name] for name in new})


def _replace_modules(model: nn.Module, layers: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Replaces modules wherever they are registered. The model itself may be one of them, and is returned."""
    for parent in list(model.modules()):
        while old := [(name, child) for name, child in parent.named_children() if child in layers]:
            for name, child in old:  # `named_children` lists a module under one of its names: look again
                parent.add_module(name, layers[child])
    return layers.get(model, model)
