"""Which weights of a module can be pruned, found by module type and never by a layer's name."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from torch import nn
from torch.nn.parameter import Parameter, is_lazy
from torch.optim.swa_utils import AveragedModel

from rarefy.errors import InvalidInput

_ONE_WEIGHT = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_ATTENTION = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight")


def prunable(model: nn.Module, *, embeddings: bool = False) -> dict[str, Parameter]:
    """The weights that can be pruned, by name.

    These are the weights of linear, bilinear, convolution, transposed convolution, attention and recurrent layers and
    of their subclasses, frozen ones too. Never a bias, never a norm layer. A weight that several layers share is there
    once, under its first name; one shared with an embedding counts as the embedding.

    Args:
        model: Any module.
        embeddings: Whether embedding tables are there too.

    Returns:
        Weights in the order of ``named_parameters()`` and under the same names, less what ``torch.compile``,
        ``DataParallel``, ``DistributedDataParallel`` and ``AveragedModel`` put in front of them.

    Raises:
        ValueError: If a weight is lazy and has no shape yet, or is computed from other parameters.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10))
        >>> {name: tuple(weight.shape) for name, weight in prunable(nn.DataParallel(model)).items()}
        {'0.weight': (8, 3, 3, 3), '3.weight': (10, 8)}
    """
    tables = {id(module._parameters.get("weight")) for module in model.modules() if isinstance(module, _EMBEDDINGS)}
    seen = set() if embeddings else tables
    weights: dict[str, Parameter] = {}
    for prefix, module in _walk(model, "", set()):
        for attribute in _attributes(module, embeddings):
            name = f"{prefix}{attribute}"
            weight = _parameter(module, attribute, name)
            if weight is not None and id(weight) not in seen:
                seen.add(id(weight))
                weights[name] = weight
    return weights


def _attributes(module: nn.Module, embeddings: bool) -> list[str]:
    """Names of a module's own weights, in the order of registration."""
    if isinstance(module, _ONE_WEIGHT) or (embeddings and isinstance(module, _EMBEDDINGS)):
        return ["weight"]
    if isinstance(module, nn.MultiheadAttention):
        return list(_ATTENTION)
    if isinstance(module, nn.RNNBase):
        return [name for name in module._flat_weights_names if name.startswith("weight_")]
    if isinstance(module, nn.RNNCellBase):
        return ["weight_ih", "weight_hh"]
    return []


def _parameter(module: nn.Module, attribute: str, name: str) -> Parameter | None:
    """A module's own parameter, None where it has none of that name; raises where it cannot be masked."""
    weight = module._parameters.get(attribute)
    if weight is None and getattr(module, attribute, None) is not None:
        raise InvalidInput(
            f"{name!r} is not a parameter but computed from others, so it cannot be masked itself. "
            "Take that off first, with remove_parametrizations, remove_weight_norm or prune.remove of torch.nn.utils."
        )
    if weight is not None and is_lazy(weight):
        raise InvalidInput(f"{name!r} is lazy and has no shape yet. Call the model once on a batch, then ask again.")
    return weight


def _walk(module: nn.Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    """Modules with the prefix of their parameters' names, depth first, each once, looking through wrappers."""
    wrapped = _wrapped(module)
    if wrapped is not None:
        yield from _walk(wrapped, prefix, seen)
    elif id(module) not in seen:
        seen.add(id(module))
        yield prefix, module
        for name, child in module.named_children():
            yield from _walk(child, f"{prefix}{name}.", seen)


def _wrapped(module: nn.Module) -> nn.Module | None:
    """What a wrapper wraps; a user's own submodule called ``module`` is not a wrapper's."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)):
        return module.module
    # Importing dynamo takes seconds, and nothing is compiled by it before it is imported.
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    compiled = dynamo is not None and isinstance(module, dynamo.OptimizedModule)
    return module._modules["_orig_mod"] if compiled else None
