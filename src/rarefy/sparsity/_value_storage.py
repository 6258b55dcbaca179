"""Layers that store only the values they keep: their protocol, and how their values follow the masks."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_SAME = 1e-4  # largest relative difference of norms between kernels that sum in another order


class KeptIndices(Protocol):
    """Which weights of a `shape` are kept."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight with every value."""

    @property
    def indices(self) -> Tensor:
        """Flat indices of the kept values, ascending."""

    @property
    def nbytes(self) -> int:
        """Size in memory."""

    def mask(self) -> Tensor:
        """Returns a bool tensor of `shape`, True where kept."""

    def replace_(self, mask: Tensor) -> None:
        """Takes another mask of the same shape, in place."""


class ValueStorageLayer(abc.ABC):
    """A module that stores only its kept weights; engines register theirs by ``ValueStorageLayer.register(cls)``.

    Attributes:
        values: The kept weights, ``[kept]``, in the order of ``pattern.indices``.
        pattern: Which ones they are.
        dense_gradient: Whether a backward pass also computes the gradient of the whole weight.
        dense_grad: That gradient, summed over the uses of the layer in a pass; None if it was not computed.

    Example:
        >>> class Kept(nn.Module):
        ...     "An engine's layer, with these attributes."
        >>> ValueStorageLayer.register(Kept) is Kept
        True
    """

    values: nn.Parameter
    pattern: KeptIndices
    dense_gradient: bool
    dense_grad: Tensor | None


class FixedMask:
    """Base class of modules whose kernels rely on the present mask, so that it can no longer move.

    Example:
        >>> class Packed(nn.Module, FixedMask):
        ...     "An engine's layer."
    """


def list_fixed(modules: Mapping[str, nn.Module]) -> list[str]:
    """Lists the layers whose masks cannot move."""
    return [name for name, layer in modules.items() if isinstance(layer, FixedMask)]


def expand_values(layer: ValueStorageLayer, values: Tensor | None = None) -> Tensor:
    """Expands the kept values (or other values, one for each) to a tensor of the weight's shape, 0 elsewhere."""
    stored = layer.values.detach() if values is None else values
    full = stored.new_zeros(torch.Size(layer.pattern.shape).numel())
    return full.index_copy_(0, layer.pattern.indices.long(), stored).view(layer.pattern.shape)


def gather_values(layer: ValueStorageLayer, weight: Tensor) -> Tensor:
    """Gathers the values of a dense tensor where weights are kept, ``[kept]``."""
    return weight.detach().reshape(-1)[layer.pattern.indices.long()]


@torch.no_grad()
def move_values_(
    layer: ValueStorageLayer, mask: Tensor, states: Iterable[tuple[MutableMapping[Any, Any], Mapping[Any, float]]] = ()
) -> None:
    """Moves a layer to another mask: weights that stay keep value, gradient and state; new ones start at 0.

    Args:
        layer: The layer.
        mask: Bool tensor of the weight's shape.
        states: States of optimizers for the layer's values, whose tensors of the same shape move along, each with the
            initial values of its tensors where these are not 0.
    """
    before, after = layer.pattern.indices.long(), mask.reshape(-1).nonzero().view(-1)
    source = torch.searchsorted(before, after).clamp(max=max(len(before) - 1, 0))
    stays = before[source] == after if len(before) else torch.zeros(len(after), dtype=torch.bool)

    def move(value: Tensor, clean: float = 0) -> Tensor:
        return value[source].masked_fill_(~stays, clean) if len(before) else value.new_full((len(after),), clean)

    shape, gradient = layer.values.shape, layer.values.grad
    for state, clean in states:
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == shape:
                state[name] = move(value, clean.get(name, 0))
    layer.values.grad = None
    _resize_(layer.values, move(layer.values.data))
    layer.values.grad = None if gradient is None else move(gradient)
    layer.pattern.replace_(mask)


def _resize_(parameter: nn.Parameter, data: Tensor) -> None:
    """Replaces a Parameter's data; if the size changes, its AccumulateGrad node is created again.

    The graph of an earlier step may still be alive (`loss` in the caller's loop) and hold the AccumulateGrad node with
    the old size. Torch creates another node only when the dtype changes, so the dtype changes for a moment.
    """
    if data.shape == parameter.shape:  # keep the AccumulateGrad node: DDP's hooks are on it
        parameter.data.copy_(data)
        return
    parameter.data = data.new_empty(0, dtype=torch.float32 if data.dtype == torch.float64 else torch.float64)
    parameter.data = data


def sync_layer_(layer: ValueStorageLayer, mask: Tensor) -> None:
    """Moves the layer to a mask, if it has another."""
    if not torch.equal(layer.pattern.mask(), mask.to(layer.pattern.indices.device)):
        move_values_(layer, mask)


def keep_pattern_in_state(layer: nn.Module) -> None:
    """Adds the kept indices (int32) of a layer to its ``state_dict``, and reads them back from one.

    A dense ``weight`` can be loaded as well: the layer takes the values that it keeps.

    Args:
        layer: A `ValueStorageLayer`.

    Example:
        >>> import types
        >>> layer = nn.Module()
        >>> layer.pattern = types.SimpleNamespace(indices=torch.tensor([0, 3]))
        >>> keep_pattern_in_state(layer)
        >>> layer.state_dict()["pattern"]
        tensor([0, 3])
    """
    layer.register_state_dict_post_hook(_add_pattern)  # type: ignore[no-untyped-call]
    layer.register_load_state_dict_pre_hook(_take_pattern)  # type: ignore[no-untyped-call]


def _add_pattern(layer: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    state[f"{prefix}pattern"] = layer.pattern.indices.clone()


@torch.no_grad()
def _take_pattern(layer: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    dense, pattern = state.pop(f"{prefix}weight", None), state.pop(f"{prefix}pattern", None)
    if dense is not None:
        state[f"{prefix}values"] = gather_values(layer, dense)
    if pattern is not None and not torch.equal(pattern, layer.pattern.indices):
        mask = torch.zeros(torch.Size(layer.pattern.shape).numel(), dtype=torch.bool)
        move_values_(layer, mask.index_fill_(0, pattern.long(), True).view(layer.pattern.shape))


class DenseGradients:
    """Sums the dense gradients of sparse layers over the backward passes of a step, as torch does for ``.grad``.

    Layers compute them only while this is armed.

    Args:
        layers: Layer name to layer.
    """

    def __init__(self, layers: Mapping[str, ValueStorageLayer]) -> None:
        self.is_fresh = False  # whether there was a backward pass since the last `read`
        self._layers = dict(layers)
        self._sums: dict[str, Tensor] = {}
        self._hooks: list[RemovableHandle] = []

    def arm(self, is_armed: bool) -> None:
        """Asks for dense gradients from the next backward pass on, or for none; forgets those of before."""
        self._sums.clear()
        self.is_fresh = False
        if is_armed == bool(self._hooks):
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for name, layer in self._layers.items():
            layer.dense_gradient, layer.dense_grad = is_armed, None
            if is_armed and layer.values.requires_grad:
                hook = layer.values.register_hook(partial(self._collect, name))  # type: ignore[no-untyped-call]
                self._hooks.append(hook)

    def read(self) -> dict[str, Tensor]:
        """Returns name to dense gradient, scaled as its kept part was scaled since (unscaling, clipping)."""
        self.is_fresh = False
        return {name: self._rescale(self._layers[name], total) for name, total in self._sums.items()}

    def _collect(self, name: str, gradient: Tensor) -> None:
        """Adds the dense gradient of a backward pass, before torch adds that of the values to ``.grad``."""
        layer = self._layers[name]
        new, layer.dense_grad = layer.dense_grad, None
        if new is None:
            return
        before = layer.values.grad
        is_first = before is None or not bool(before.any())
        self._sums[name] = new if is_first or name not in self._sums else self._sums[name] + new
        self.is_fresh = True

    @staticmethod
    def _rescale(layer: ValueStorageLayer, total: Tensor) -> Tensor:
        now = layer.values.grad
        if now is None:
            return total
        factor = float(now.norm() / gather_values(layer, total).norm())
        return total * factor if abs(factor - 1) > _SAME else total  # nan: there was no gradient at all
