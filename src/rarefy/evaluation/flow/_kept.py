"""Kept weights, and copies of models to compute on."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.models import find_weights, prunable, read_weight


def copy_model(model: nn.Module, *, training: bool = False) -> nn.Module:
    """Copies a model into evaluation (or training) mode, with gradients enabled and cleared for all parameters."""
    twin = copy.deepcopy(model).train(training).requires_grad_(True)
    twin.zero_grad(set_to_none=True)
    return twin


def find_kept_weights(model: nn.Module, masks: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Returns masks by name on the weights' devices, True = kept; without masks those of the nonzero weights.

    Raises:
        ValueError: If the model has no prunable weight, or the masks do not fit its weights.
    """
    if masks is None:
        kept = {name: weight.detach() != 0 for name, weight in prunable(model).items()}
    else:
        weights = select_weights(model, masks)
        wrong = [n for n, mask in masks.items() if weights[n].shape != mask.shape]
        if wrong:
            raise InvalidInput(f"The masks are of another model: it has no weight {wrong[0]!r} of that shape.")
        kept = {name: mask.to(weights[name].device) for name, mask in masks.items()}
    if not kept:
        raise InvalidInput("The model has no prunable weight: no convolution and no linear layer.")
    return kept


def select_weights(model: nn.Module, kept: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """Selects the weights that have masks, in the order of the masks."""
    return {name: read_weight(name, reference) for name, reference in find_weights(model, kept).items()}


def prepare_batch(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Moves a batch to the model's device; raises ValueError if it is empty or does not have one label per input."""
    if not len(inputs) == len(labels) > 0:
        raise InvalidInput(f"A batch needs at least one image and one label each; got {len(inputs)} and {len(labels)}.")
    device = next(model.parameters()).device
    return inputs.to(device), labels.to(device)
