"""Which weights are kept, and a copy of a model to compute on."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.models import find_weights, prunable, read_weight


def replica(model: nn.Module, *, training: bool = False) -> nn.Module:
    """A copy in evaluation (or training) mode, all of whose parameters take gradients and have none."""
    twin = copy.deepcopy(model).train(training).requires_grad_(True)
    twin.zero_grad(set_to_none=True)
    return twin


def kept_of(model: nn.Module, masks: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Name to bool tensor, True = kept, on the weights' devices: of the masks, or of the weights that are not zero.

    Raises:
        ValueError: If the model has no prunable weight, or not the ones that the masks are of.
    """
    if masks is None:
        found = {name: weight.detach() != 0 for name, weight in prunable(model).items()}
    else:
        weights = weights_of(model, masks)
        wrong = [n for n, mask in masks.items() if weights[n].shape != mask.shape]
        if wrong:
            raise InvalidInput(f"The masks are of another model: it has no weight {wrong[0]!r} of that shape.")
        found = {name: mask.to(weights[name].device) for name, mask in masks.items()}
    if not found:
        raise InvalidInput("The model has no prunable weight: no convolution and no linear layer.")
    return found


def weights_of(model: nn.Module, kept: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """The weights the masks are of, in the masks' order."""
    return {name: read_weight(name, place) for name, place in find_weights(model, kept).items()}


def loss_inputs(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """A batch on the model's device; ValueError if it is empty or has not one label an input."""
    if not len(inputs) == len(labels) > 0:
        raise InvalidInput(f"A batch needs one label an image and at least one; {len(inputs)} and {len(labels)} came.")
    device = next(model.parameters()).device
    return inputs.to(device), labels.to(device)
