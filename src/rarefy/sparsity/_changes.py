"""Detects changes that others make to a model between `sparsify` and `save`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.errors import RarefyError
from rarefy.models import ParameterRef
from rarefy.shards import shard_like, to_local
from rarefy.sparsity._registries import get_children, get_parameters
from rarefy.sparsity._versions import read_versions

_LOG = logging.getLogger("rarefy")


class ModelChanged(RarefyError, ValueError):
    """A masked weight is no longer where it was when the masks were drawn; the message says what to do.

    Attributes:
        name: The weight.
    """

    name: str = ""


def make_error(name: str, predicate: str) -> ModelChanged:
    """Makes the error of a weight from a predicate ('is gone ...')."""
    return ModelChanged(f"The weight {name!r} {predicate}", name=name)


class Structure:
    """How masked weights are held in a model: by which modules, by how many, and on which paths.

    Args:
        model: The model.
        locations: Where each masked weight is.
    """

    def __init__(self, model: nn.Module, locations: Mapping[str, ParameterRef]) -> None:
        self._model = model
        self._uses = _count_uses(model, locations)
        self._links = _find_links(model, locations)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has other modules, whose links are found when an optimizer is attached to it."""
        return {**self.__dict__, "_links": []}

    def forget_links(self) -> None:
        """Forgets the paths to the modules, because an engine replaces some; the next `check` finds them again."""
        self._links = []

    def is_same(self) -> bool:
        """Whether the modules on the paths to masked weights are the same as before; quick, for every step."""
        return all(children.get(name) is child for children, name, child in self._links)

    def check(self, locations: Mapping[str, ParameterRef]) -> None:
        """Checks the whole model.

        Raises:
            ModelChanged: If a masked weight is gone, computed from others, or shared with other layers than before.
        """
        read_weights(locations)
        modules = set(self._model.modules())
        for name, (module, _) in locations.items():
            if module not in modules:
                raise make_error(
                    name,
                    "is no longer in the model: its layer was replaced after sparsify. Call sparsify again on the "
                    "model as it is now, or replace layers before it.",
                )
        for name, uses in _count_uses(self._model, locations).items():
            if uses != self._uses[name]:
                raise make_error(
                    name,
                    f"is used by {uses} layers, {self._uses[name]} when the masks were drawn: weights were tied or "
                    "untied after sparsify. Do that first, then call sparsify.",
                )
        self._links = _find_links(self._model, locations)


def read_weights(locations: Mapping[str, ParameterRef]) -> dict[str, nn.Parameter]:
    """Reads the masked parameters from their modules.

    Raises:
        ModelChanged: If one is computed from others by now.
    """
    weights = {}
    for name, (module, attribute) in locations.items():
        weight = get_parameters(module).get(attribute)
        if weight is None:
            raise make_error(
                name,
                "is gone from its layer, or computed from other parameters since (a parametrization, weight norm, "
                "torch.nn.utils.prune). Take that off, or call sparsify before it on layers that `exclude` leaves out.",
            )
        weights[name] = weight
    return weights


def count_pruned(weight: Tensor, mask: Tensor) -> int:
    """Counts pruned values that are not 0; of a sharded weight those of this process, on ``meta`` none."""
    if weight.is_meta:
        return 0
    kept = to_local(shard_like(mask, weight))
    return int(to_local(weight.detach()).masked_fill(kept, 0).count_nonzero())


class WriteWatcher:
    """Detects that somebody else wrote masked weights between two steps, and warns once."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._has_warned = False

    def record(self, weights: Mapping[str, Tensor]) -> None:
        """Records which versions the weights have after a step."""
        self._versions = {} if self._has_warned else read_versions(weights)

    def check(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
        """Looks at weights written since the last step, before this step sets their pruned values to 0."""
        before, now = self._versions, {} if self._has_warned else read_versions(weights)
        if now != before:
            self.warn({n: weights[n] for n in now.keys() & before.keys() if now[n] != before[n]}, masks)

    @torch.no_grad()
    def warn(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
        """Warns, the first time, of weights that are not 0 where they are pruned."""
        counts = {name: count_pruned(weight, masks[name]) for name, weight in weights.items()}
        dense = {name: count for name, count in counts.items() if count}
        if dense and not self._has_warned:
            self._has_warned = True
            text = (
                "%d pruned values are not 0, in %s: somebody wrote the weights (initialised, loaded or merged them). "
                "The next step sets them to 0. Call sparsity.mask_weights_() after such writes; after loading a "
                "checkpoint, load the sparsity's state too; to keep the values, call sparsify on the model as it is."
            )
            _LOG.warning(text, sum(dense.values()), ", ".join(dense))


def _count_uses(model: nn.Module, locations: Mapping[str, ParameterRef]) -> dict[str, int]:
    uses = Counter(id(weight) for module in model.modules() for weight in get_parameters(module).values())
    return {name: uses[id(weight)] for name, weight in read_weights(locations).items()}


def _find_links(model: nn.Module, locations: Mapping[str, ParameterRef]) -> list[tuple[dict[str, Any], str, nn.Module]]:
    """Finds dict of children, name and child of every step on the paths from the model to the holders of weights."""
    parents: dict[nn.Module, tuple[nn.Module, str]] = {}
    for parent in model.modules():
        for name, child in parent.named_children():
            parents.setdefault(child, (parent, name))
    links = {}
    for module, _ in locations.values():
        while module is not model and module in parents and module not in links:
            parent, name = parents[module]
            links[module] = (get_children(parent), name, module)
            module = parent
    return list(links.values())
