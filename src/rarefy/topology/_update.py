"""The protocol of a topology, the registry of topologies, and ``update``, which checks what they promise."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from rarefy import rng
from rarefy.errors import InvalidInput, MethodError
from rarefy.registry import Registry

Scope = Literal["layer", "network"]


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One prunable weight at an update: detached tensors of the weight's shape, on one device.

    Args:
        name: The weight's name, ``"layer1.0.conv1.weight"``.
        weight: Its values; exactly 0 where ``mask`` is False, unless the topology has dormant weights
            (``HasDormantWeights``).
        mask: Bool, True = kept.
        gradient: Dense gradient of the loss, pruned weights included; None unless the topology needs it.
        momentum: Dense first update_step of the gradient; None unless the topology needs it.
        explored: Bool, True where the weight was ever kept since the start, ``mask`` included.
        initial: How many weights the layer keeps when training starts.
        final: How many when it ends; differs from ``initial`` only for methods that prune while they train.
        is_output: Whether this is the model's last layer, whose neurons are the outputs.

    Example:
        >>> mask = torch.tensor([True, False])
        >>> Layer("fc.weight", torch.tensor([0.5, 0.0]), mask, None, None, mask, initial=1, final=1).kept
        1
    """

    name: str
    weight: Tensor
    mask: Tensor
    gradient: Tensor | None
    momentum: Tensor | None
    explored: Tensor
    initial: int
    final: int
    is_output: bool = False

    @property
    def kept(self) -> int:
        """How many weights are kept, counted from the mask."""
        return int(self.mask.count_nonzero())

    def require(self, name: str) -> Tensor:
        """Returns the tensor ``"gradient"`` or ``"momentum"``; raises ValueError if the layer does not carry it."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            hint = {"momentum": " Use an optimizer that keeps a first update_step, such as SGD with momentum, or Adam."}
            raise InvalidInput(
                f"The topology needs the {name} of {self.name!r}, but there is none.{hint.get(name, '')}"
            )
        return value


@dataclasses.dataclass(frozen=True)
class UpdateStep:
    """The optimizer step of an update and the seed of its random choices. It holds no generator, so it has no state.

    Args:
        step: Optimizer steps done, 1 after the first.
        steps: Optimizer steps planned in total, if that is known.
        seed: The seed of the masks.

    Example:
        >>> UpdateStep(100, 1000, 17).derive_key("fc.weight") == UpdateStep(200, 1000, 17).derive_key("fc.weight")
        False
    """

    step: int
    steps: int | None
    seed: int

    def derive_key(self, *names: str | int) -> int:
        """Derives the key of the random choices of that name at this step."""
        return rng.derive_seed(self.seed, "topology", self.step, *names)


class Topology(Protocol):
    """A rule by which masks move: a frozen dataclass registered in ``TOPOLOGIES`` under its file's name."""

    @property
    def needs(self) -> frozenset[str]:
        """What a layer must carry at an update: a subset of ``{"gradient", "momentum"}``."""
        ...

    @property
    def scope(self) -> Scope:
        """Whether the count is held in every layer or only over the network."""
        ...

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after optimizer step ``step`` (1-based) of ``steps``."""
        ...

    def initial_density(self, density: float) -> float:
        """The density to start with in order to end with ``density``."""
        ...

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Computes the next mask of every layer, by name; call it through ``update``, which checks the result."""
        ...


@runtime_checkable
class HasCountSchedule(Protocol):
    """A topology that changes how many weights a layer keeps."""

    def count(self, layer: Layer, update_step: UpdateStep) -> int:
        """Computes how many weights the layer keeps after that update."""
        ...


@runtime_checkable
class HasDormantWeights(Protocol):
    """A topology with dormant weights: the forward pass does not use them, but they are trained.

    Its layers carry their values: ``weight`` is not 0 everywhere that ``mask`` is False.
    """

    def backward_masks(self, layers: Sequence[Layer]) -> dict[str, Tensor]:
        """Computes by name which weights are trained (bool); the kept ones are among them."""
        ...


@runtime_checkable
class HasFinalDensity(Protocol):
    """A topology that ends with another density than the one that was asked for."""

    def final_density(self, density: float) -> float:
        """Computes the density at the end of training."""
        ...


TOPOLOGIES: Registry[Topology] = Registry("topology", "topologies")


def update(topology: Topology, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
    """Computes the next masks and checks their counts.

    The count of every layer stays the same, or follows the schedule (``HasCountSchedule``). Where weights are
    redistributed (``scope == "network"``) this holds for the sum. No layer loses its last weight.

    Args:
        topology: A method of ``TOPOLOGIES``.
        layers: All layers of the network; the result does not depend on their order.
        update_step: The step and the seed.

    Returns:
        Layer name to bool tensor (True = kept) of the weight's shape and device, in the order of ``layers``.

    Raises:
        ValueError: If a layer is malformed, lacks a tensor that the topology needs, or holds nan or infinity.
        RuntimeError: If the topology breaks its promise; the message names the layer and both numbers.

    Example:
        >>> mask = torch.tensor([True, True, False, False])
        >>> weight, gradient = torch.tensor([0.1, 3.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 2.0])
        >>> layer = Layer("fc.weight", weight, mask, gradient, None, mask, 2, 2)
        >>> update(TOPOLOGIES.build("rigl", fraction=0.9), [layer], UpdateStep(100, 1000, 17))
        {'fc.weight': tensor([False,  True, False,  True])}
    """
    _check_layers(topology, layers)
    masks = topology(layers, update_step)
    _check_masks(topology, layers, masks)
    _check_counts(topology, layers, update_step, masks)
    return {layer.name: masks[layer.name] for layer in layers}


def _check_layers(topology: Topology, layers: Sequence[Layer]) -> None:
    repeated = [name for name, times in Counter(layer.name for layer in layers).items() if times > 1]
    if repeated:
        raise InvalidInput(f"Layers need different names, but these appear more than once: {', '.join(repeated)}.")
    for layer in layers:
        for name in ("mask", "explored", "weight", *sorted(topology.needs)):
            _check_tensor(layer, name)


def _check_tensor(layer: Layer, name: str) -> None:
    value = layer.require(name)
    if value.shape != layer.weight.shape:
        shape, expected = tuple(value.shape), tuple(layer.weight.shape)
        raise InvalidInput(f"The {name} of {layer.name!r} has shape {shape}; its weight has {expected}.")
    if name in ("mask", "explored"):
        if value.dtype != torch.bool:
            raise InvalidInput(f"The {name} of {layer.name!r} must be bool (True = kept), not {value.dtype}.")
    elif not bool(value.isfinite().all()):
        wrong = int(value.isfinite().logical_not().sum())
        raise InvalidInput(
            f"The {name} of {layer.name!r} is nan or infinite in {wrong} of {value.numel()} elements, so it cannot "
            "choose a mask. Look for a learning rate that is too high, or clip gradients."
        )


def _check_masks(topology: Topology, layers: Sequence[Layer], masks: Mapping[str, Tensor]) -> None:
    names = {layer.name for layer in layers}
    if set(masks) != names:
        missing, extra = sorted(names - set(masks)), sorted(set(masks) - names)
        raise MethodError(f"{topology!r} returned masks for other layers: missing {missing}, unknown {extra}.")
    for layer in layers:
        mask = masks[layer.name]
        if mask.dtype != torch.bool or mask.shape != layer.weight.shape or mask.device != layer.weight.device:
            received = f"{mask.dtype} {tuple(mask.shape)} on {mask.device}"
            expected = f"torch.bool {tuple(layer.weight.shape)} on {layer.weight.device}"
            raise MethodError(f"{topology!r} gave {layer.name!r} a mask {received}; it has to be {expected}.")


def _check_counts(
    topology: Topology, layers: Sequence[Layer], update_step: UpdateStep, masks: Mapping[str, Tensor]
) -> None:
    before = {layer.name: layer.kept for layer in layers}
    after = {name: int(mask.count_nonzero()) for name, mask in masks.items()}
    expected = dict(before)
    if isinstance(topology, HasCountSchedule):
        expected = {layer.name: topology.count(layer, update_step) for layer in layers}
    for name in before:
        if before[name] and not after[name]:
            raise MethodError(f"{topology!r} took the last weight of {name!r}: {before[name]} before, 0 after.")
        if topology.scope == "layer" and after[name] != expected[name]:
            raise MethodError(f"{topology!r} keeps {after[name]} weights of {name!r} instead of {expected[name]}.")
    if sum(after.values()) != sum(expected.values()):
        kept, promised = sum(after.values()), sum(expected.values())
        raise MethodError(f"{topology!r} keeps {kept} weights of the network instead of {promised}.")
