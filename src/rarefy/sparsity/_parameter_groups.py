"""Parameter groups for an optimizer: which parameters decay, and each with the factors of its layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from rarefy.scaling import Factors
from rarefy.sparsity._value_storage import ValueStorageLayer

_MATRIX_NORMS = (nn.LayerNorm, nn.RMSNorm)  # the norms whose weights may have several dimensions
_NO_FACTORS = Factors()


def build_parameter_groups(
    model: nn.Module,
    factors: Mapping[int, Factors],
    *,
    lr: float,
    weight_decay: float,
    eps: float | None,
    decays_vectors: bool,
) -> list[dict[str, Any]]:
    """Groups the trained parameters of a model by decay and by factors, those that decay first.

    Args:
        model: The model.
        factors: Id of a parameter to its factors; those left out have none.
        lr: Learning rate of the base network.
        weight_decay: Weight decay of the base network.
        eps: Adam's eps; None to leave it to the optimizer.
        decays_vectors: Whether norm layers, biases and other vectors decay as well.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decaying = {id(p) for p in trained} if decays_vectors else _list_weights(model, trained)
    grouped: dict[tuple[bool, Factors], list[nn.Parameter]] = {}
    for parameter in trained:
        key = id(parameter) in decaying, factors.get(id(parameter), _NO_FACTORS)
        grouped.setdefault(key, []).append(parameter)
    groups = []
    for (decays, factor), parameters in sorted(grouped.items(), key=lambda item: not item[0][0]):
        group: dict[str, Any] = {"params": parameters, "lr": lr * factor.rate}
        group["weight_decay"] = weight_decay * factor.decay if decays else 0.0
        group |= {} if eps is None else {"eps": eps * factor.eps}
        group |= {} if factor.rate == 1 else {"rate_factor": factor.rate}
        groups.append(group)
    return groups


def _list_weights(model: nn.Module, parameters: Iterable[nn.Parameter]) -> set[int]:
    """Lists the ids of the weights of layers: matrices and kernels, also where only kept values are stored."""
    of_norms = {id(p) for module in model.modules() if isinstance(module, _MATRIX_NORMS) for p in module.parameters()}
    storage = [module for module in model.modules() if isinstance(module, ValueStorageLayer)]
    value_vectors = {id(module.values) for module in storage}  # one vector per layer
    return {id(p) for p in parameters if id(p) in value_vectors or (p.ndim > 1 and id(p) not in of_norms)}
