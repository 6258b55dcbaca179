"""What others do to a model between `sparsify` and `save`, noticed before it does harm."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rarefy.errors import RarefyError
from rarefy.models import Place
from rarefy.shards import is_sharded, local, placed

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity

_LOG = logging.getLogger("rarefy")


class ModelChanged(RarefyError, ValueError):
    """A masked weight is no longer where it was when the masks were drawn; the message says what to do.

    Attributes:
        name: The weight.
    """

    name: str = ""


def make_change(name: str, what: str) -> ModelChanged:
    """Makes the error of a weight from what happened to it, said without a subject."""
    return ModelChanged(f"The weight {name!r} {what}", name=name)


class Structure:
    """How masked weights are held in a model: by which modules, how often, and by what holds these.

    Args:
        model: The model.
        places: Where each masked weight lives.
    """

    def __init__(self, model: nn.Module, places: Mapping[str, Place]) -> None:
        self._model = model
        self._uses = _count_uses(model, places)
        self._links = _find_links(model, places)

    def __getstate__(self) -> dict[str, Any]:
        """A copy's modules are others, and are looked for when it is attached."""
        return {**self.__dict__, "_links": []}

    def exchange(self) -> None:
        """Tells that an engine puts other modules into the model; the next full look finds its way to them."""
        self._links = []

    def is_same(self) -> bool:
        """Whether nobody has put another module in the place of one that leads to a masked weight; a quick look."""
        return not [name for children, name, child in self._links if children.get(name) is not child]

    def check(self, places: Mapping[str, Place]) -> None:
        """Looks at the whole model.

        Raises:
            ModelChanged: If a masked weight is gone, computed from others, or shared with other layers than before.
        """
        read_weights(places)
        there = set(self._model.modules())
        for name, (module, _) in places.items():
            if module not in there:
                raise make_change(
                    name,
                    "is no longer in the model: its layer was replaced after sparsify. Call sparsify again on the "
                    "model as it is now, or replace layers before it.",
                )
        for name, uses in _count_uses(self._model, places).items():
            if uses != self._uses[name]:
                raise make_change(
                    name,
                    f"is used by {uses} layers, {self._uses[name]} when the masks were drawn: weights were tied or "
                    "untied after sparsify. Do that first, then call sparsify.",
                )
        self._links = _find_links(self._model, places)


def read_weights(places: Mapping[str, Place]) -> dict[str, nn.Parameter]:
    """Reads the parameters that are masked.

    Raises:
        ModelChanged: If one is computed from others by now.
    """
    found = {}
    for name, (module, attribute) in places.items():
        weight = module._parameters.get(attribute)
        if weight is None:
            raise make_change(
                name,
                "is gone from its layer, or computed from other parameters since (a parametrization, weight norm, "
                "torch.nn.utils.prune). Take that off, or call sparsify before it on layers that `exclude` leaves out.",
            )
        found[name] = weight
    return found


def count_pruned(weight: Tensor, mask: Tensor) -> int:
    """Counts the values that are not 0 where the mask prunes; those of this process where sharded, none on meta."""
    if weight.is_meta:
        return 0
    kept = local(placed(mask, weight))
    return int(local(weight.detach()).masked_fill(kept, 0).count_nonzero())


class Writes:
    """Notices who else writes masked weights between two steps, from torch's own counter of changes; says so once.

    Args:
        sparsity: Whose masks hold.
    """

    def __init__(self, sparsity: Sparsity) -> None:
        self._sparsity = sparsity
        self._versions: dict[str, int] = {}
        self._told = False

    def note(self, weights: Mapping[str, Tensor]) -> None:
        """Notes the weights as they are after a step."""
        self._versions = {} if self._told else {n: w._version for n, w in weights.items() if not is_sharded(w)}

    def look(self, weights: Mapping[str, Tensor]) -> None:
        """Looks at weights that were written since, before a step makes their pruned values 0."""
        changed = [n for n, version in self._versions.items() if n in weights and weights[n]._version != version]
        if changed:
            self.tell({name: weights[name] for name in changed})

    @torch.no_grad()
    def tell(self, weights: Mapping[str, Tensor]) -> None:
        """Says once how many pruned values of which weights are not 0."""
        masks = self._sparsity.masks
        found = {name: count_pruned(weight, masks[name]) for name, weight in weights.items()}
        dense = {name: count for name, count in found.items() if count}
        if dense and not self._told:
            self._told = True
            text = (
                "%d pruned values are not 0, in %s: somebody wrote the weights (initialised, loaded or merged them). "
                "The next step sets them to 0. Call sparsity.mask_weights_() after such writes; after loading a "
                "checkpoint, load the sparsity's state too; to keep the values, call sparsify on the model as it is."
            )
            _LOG.warning(text, sum(dense.values()), ", ".join(dense))


def _count_uses(model: nn.Module, places: Mapping[str, Place]) -> dict[str, int]:
    uses = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    return {name: uses[id(module._parameters[attribute])] for name, (module, attribute) in places.items()}


def _find_links(model: nn.Module, places: Mapping[str, Place]) -> list[tuple[dict[str, Any], str, nn.Module]]:
    """Children's dict, name and child, of every step on the ways from the model to the modules that hold weights."""
    parents: dict[nn.Module, tuple[nn.Module, str]] = {}
    for parent in model.modules():
        for name, child in parent.named_children():
            parents.setdefault(child, (parent, name))
    links = {}
    for module, _ in places.values():
        while module is not model and module in parents and module not in links:
            parent, name = parents[module]
            links[module] = (parent._modules, name, module)
            module = parent
    return list(links.values())
