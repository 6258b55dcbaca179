"""The protocol of a layer type and the registry of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from torch import nn

from rarefy.registry import Registry


class LayerType(Protocol):
    """A type of module with weights that can be pruned: a frozen dataclass registered in ``LAYERS``.

    Attributes:
        is_embedding: Whether these are tables of embeddings, which are pruned on request only.
    """

    is_embedding: ClassVar[bool]

    def __call__(self, module: nn.Module) -> Sequence[str]:
        """Names the attributes that hold a module's prunable weights; none for a module of another type."""
        ...


LAYERS: Registry[LayerType] = Registry("layer type", "layers")


def list_weights(module: nn.Module, *, embeddings: bool) -> list[str]:
    """Lists the attributes that hold a module's own prunable weights, in the order of registration.

    Example:
        >>> list_weights(nn.GRUCell(3, 2), embeddings=False)
        ['weight_ih', 'weight_hh']
    """
    layer_types: list[LayerType] = [LAYERS.get(name)() for name in LAYERS.names()]
    return [
        name for layer_type in layer_types if embeddings or not layer_type.is_embedding for name in layer_type(module)
    ]


def list_tables(module: nn.Module) -> list[str]:
    """Lists the attributes that hold a module's own tables of embeddings.

    Example:
        >>> list_tables(nn.Embedding(5, 3)), list_tables(nn.Linear(5, 3))
        (['weight'], [])
    """
    layer_types: list[LayerType] = [LAYERS.get(name)() for name in LAYERS.names()]
    return [name for layer_type in layer_types if layer_type.is_embedding for name in layer_type(module)]
