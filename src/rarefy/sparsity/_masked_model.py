"""A model with its masks: which modules hold the masked weights, and the zeros in weights and gradients."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.masks import Masks
from rarefy.models import ParameterRef
from rarefy.sparsity._changes import Structure, read_weights
from rarefy.sparsity._dormant_weights import DormantWeights
from rarefy.sparsity._locations import find_locations, find_output, zero_pruned_copy_
from rarefy.sparsity._value_storage import ValueStorageLayer, expand_values, sync_layer_
from rarefy.topology import HasDormantWeights, Topology


class MaskedModel:
    """What `Sparsity`, its attached optimizers and the engines share. Engines reach it as ``sparsity.masked_model``.

    Args:
        model: The model whose weights are masked; they are set to zero where pruned.
        masks: Which weights are kept.
        topology: How the masks move while training.
        seed: Root of every random choice of the topology.
        final: Counts at the end of training, by layer, where the topology changes them; default the masks' own.
        names: Mask's name to the weight's name in the model, where they differ.

    Attributes:
        initial: Layer name to the number of weights kept at the start.
        structure: Detects changes that others make to the model.
        output: Name of the model's last layer, None if that is not masked.
        dormant: Values of pruned weights that are trained too; None if the topology has none.
        is_attached: Whether an optimizer is attached.
    """

    def __init__(
        self,
        model: nn.Module,
        masks: Masks,
        *,
        topology: Topology,
        seed: int,
        final: Mapping[str, int] | None,
        names: Mapping[str, str] | None,
    ) -> None:
        self.model = model
        self.masks = masks
        self.topology = topology
        self.seed = seed
        self.initial = masks.counts()
        self.final = dict(final or self.initial)
        self.is_attached = False
        self._names = dict(names or {})
        self.locations = find_locations(model, masks, self._names)
        self._replaced_parameters: list[weakref.ref[nn.Parameter]] = []  # those that an engine took out of the model
        self.structure = Structure(model, self.locations)
        self.output = find_output(model, self.weights())
        self.dormant = DormantWeights(self.weights(), masks) if isinstance(topology, HasDormantWeights) else None
        self.zero_pruned_()

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state of a copy, to which no optimizer is attached."""
        return {**self.__dict__, "is_attached": False, "_replaced_parameters": []}

    def weights(self) -> dict[str, nn.Parameter]:
        """Returns name to masked weight, looked up in the model; ``[kept]`` values where a layer stores only these.

        Raises:
            ModelChanged: If a weight is computed from other parameters by now.
        """
        return read_weights(self.locations)

    def dense_weights(self) -> dict[str, Tensor]:
        """Returns name to weight in its own shape, 0 where pruned: the weight itself, or a copy of stored values."""
        sparse = self.sparse_layers()
        return {n: expand_values(sparse[n]) if n in sparse else w.detach() for n, w in self.weights().items()}

    def modules(self) -> dict[str, nn.Module]:
        """Returns name to the module that holds the weight."""
        return {name: module for name, (module, _) in self.locations.items()}

    def sparse_layers(self, names: Iterable[str] | None = None) -> dict[str, ValueStorageLayer]:
        """Returns name to layer, of the layers (or those among `names`) that store only the values they keep."""
        wanted = self.locations.keys() if names is None else set(names)
        modules = {name: module for name, (module, _) in self.locations.items() if name in wanted}
        return {name: module for name, module in modules.items() if isinstance(module, ValueStorageLayer)}

    def replaced_parameters(self) -> list[nn.Parameter]:
        """Returns the weights that engines took out of the model and somebody still holds."""
        return [weight for reference in self._replaced_parameters if (weight := reference()) is not None]

    def rebind_modules(self, layers: Mapping[str, nn.Module]) -> None:
        """Takes other modules as the holders of these weights. Engines call it and put the modules into the model.

        Args:
            layers: Layer name to module: a `ValueStorageLayer`, or one with a dense ``weight``.

        Raises:
            InvalidInput: If optimizers are attached: they hold the parameters that are replaced.
        """
        if self.is_attached:
            raise InvalidInput(
                "An engine exchanges the model's parameters, and an attached optimizer would go on with the old ones. "
                "Install the engine first, then make the optimizer from model.parameters() and attach it."
            )
        self._replaced_parameters += [weakref.ref(weight) for name, weight in self.weights().items() if name in layers]
        for name, layer in layers.items():
            attribute = "values" if isinstance(layer, ValueStorageLayer) else "weight"
            self.locations[name] = ParameterRef(layer, attribute)
        self.structure.forget_links()

    def check(self) -> None:
        """Checks that the model still holds every masked weight as it did when the masks were drawn.

        Raises:
            ModelChanged: If a layer was replaced, or a weight was tied, untied or computed from others since.
        """
        self.structure.check(self.locations)

    def zero_pruned_(self, model: nn.Module | None = None) -> None:
        """Sets pruned weights to exactly 0, in this model or in another of the same structure (an EMA copy)."""
        sparse = self.sparse_layers()
        if model is not None:
            return zero_pruned_copy_(model, self.masks, sparse, self._names)
        self.masks.apply_({name: weight for name, weight in self.weights().items() if name not in sparse})
        for name, layer in sparse.items():
            sync_layer_(layer, self.masks[name])

    def mask_gradients_(self, gradients: Mapping[str, Tensor]) -> None:
        """Sets gradients to 0 of weights that are not trained: the pruned ones, less the dormant ones."""
        if self.dormant is not None:
            gradients = self.dormant.mask_gradients_(gradients)
        self.masks.apply_(gradients)
