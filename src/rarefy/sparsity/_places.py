"""Where masked weights are in a model and in its copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rarefy.errors import InvalidInput
from rarefy.masks import Masks
from rarefy.models import prunable
from rarefy.sparsity._compact import Compact


def places(model: nn.Module, masks: Masks) -> Iterator[tuple[str, tuple[nn.Module, str]]]:
    """Where each masked weight lives: (name, (module, attribute))."""
    owners = {id(weight): (module, attr) for module in model.modules() for attr, weight in module._parameters.items()}
    for name, weight in _of(prunable(model, embeddings=True), masks).items():
        yield name, owners[id(weight)]


def find_output(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> str | None:
    """Finds the name of the model's last layer: the last matrix or kernel it registers, None if that is not masked."""
    matrices = [weight for _, weight in model.named_parameters(remove_duplicate=False) if not is_lazy(weight)]
    last = [weight for weight in matrices if weight.ndim > 1][-1:]
    return next((name for name, weight in weights.items() if last and weight is last[0]), None)


def mask_copy_(model: nn.Module, masks: Masks, compact: Iterable[str]) -> None:
    """Zeroes pruned weights of a copy (an EMA average, a dense replica); where it is compact there are none.

    Args:
        model: The copy.
        masks: The masks.
        compact: Names of the layers that are compact in the original, in the order of registration.

    Raises:
        ValueError: If the copy has other layers, or holds the values of an older pattern.
    """
    layers = [module for module in model.modules() if isinstance(module, Compact)]
    names = list(compact) if layers else []
    if len(layers) != len(names):
        raise InvalidInput(f"The copy stores {len(layers)} layers by their kept values, the original {len(names)}.")
    for name, layer in zip(names, layers, strict=True):
        if not torch.equal(layer.pattern.mask(), masks[name].cpu()):
            raise InvalidInput(
                f"The masks have moved: the copy's values of {name!r} are those of other weights, and an average of "
                "them means nothing. Average a model whose masks move with the engine 'masked'."
            )
    masks.apply_(_of(prunable(model, embeddings=True), [name for name in masks if name not in names]))


def _of(weights: Mapping[str, nn.Parameter], names: Iterable[str]) -> dict[str, Tensor]:
    wanted = list(names)
    missing = [name for name in wanted if name not in weights]
    if missing:
        raise InvalidInput(
            f"The model has no weight {missing[0]!r}. Its prunable weights: {', '.join(weights) or 'none'}."
        )
    return {name: weights[name] for name in wanted}
