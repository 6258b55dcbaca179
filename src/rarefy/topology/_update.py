"""What a topology sees and promises, the registry of topologies, and the one verb: ``update``."""

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
    """One prunable weight as a method sees it: detached tensors of the weight's shape, on one device.

    Args:
        name: The weight's name, ``"layer1.0.conv1.weight"``.
        weight: Its values, exactly 0 where ``mask`` is False (but for methods with a reserve, see ``Reserved``).
        mask: Bool, True = kept.
        gradient: Dense gradient of the loss, pruned weights included; None unless the topology needs it.
        momentum: Dense first moment of the gradient; None unless the topology needs it.
        explored: Bool, True where the weight was ever kept since the start, ``mask`` included.
        initial: How many weights the layer keeps when training starts.
        final: How many when it ends; differs from ``initial`` only for methods that prune while they train.
        is_output: Whether this is the model's last layer, whose neurons are its answers.

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

    def signal(self, name: str) -> Tensor:
        """The tensor called ``"gradient"`` or ``"momentum"``; raises ValueError if there is none."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            hint = {"momentum": " Use an optimizer that keeps a first moment, such as SGD with momentum, or Adam."}
            raise InvalidInput(
                f"The topology needs the {name} of {self.name!r}, but there is none.{hint.get(name, '')}"
            )
        return value


@dataclasses.dataclass(frozen=True)
class Moment:
    """When an update happens, and the seed of its random choices; there is no generator and nothing to save.

    Args:
        step: Optimizer steps done, 1 after the first.
        steps: Optimizer steps planned in total, if that is known.
        seed: The seed of the masks.

    Example:
        >>> Moment(100, 1000, 17).key("fc.weight") == Moment(200, 1000, 17).key("fc.weight")
        False
    """

    step: int
    steps: int | None
    seed: int

    def key(self, *names: str | int) -> int:
        """The key of the random choices of that name at this step."""
        return rng.derive(self.seed, "topology", self.step, *names)


class Topology(Protocol):
    """How masks move: a frozen dataclass registered in ``TOPOLOGIES`` under its file's name."""

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

    def __call__(self, layers: Sequence[Layer], moment: Moment) -> dict[str, Tensor]:
        """The next mask of every layer, by name; call it through ``update``, which checks it."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """What a topology also has when its counts follow a schedule."""

    def count(self, layer: Layer, moment: Moment) -> int:
        """How many weights the layer keeps after an update at that moment."""
        ...


@runtime_checkable
class Reserved(Protocol):
    """What a topology also has when pruned weights live on in a reserve, unused forwards but still trained.

    The weights of its layers carry the reserve: values are not 0 where ``mask`` is False.
    """

    @property
    def reserve(self) -> bool:
        """Whether there is a reserve."""
        ...

    def backward_masks(self, layers: Sequence[Layer]) -> dict[str, Tensor]:
        """By name, bool: which weights are trained, those kept included."""
        ...


TOPOLOGIES: Registry[Topology] = Registry("topology", "topologies")


def update(topology: Topology, layers: Sequence[Layer], moment: Moment) -> dict[str, Tensor]:
    """The next masks, with the topology's promise on counts proved.

    In every layer the count stays what it was, or becomes what the schedule says (``Scheduled``). Where weights are
    redistributed (``scope == "network"``) that holds for the sum. No layer that has weights loses its last one.

    Args:
        topology: A method of ``TOPOLOGIES``.
        layers: All layers of the network; the result does not depend on their order.
        moment: The step and the seed.

    Returns:
        Layer name to bool tensor (True = kept) of the weight's shape and device, in the order of ``layers``.

    Raises:
        ValueError: If a layer is malformed, lacks what the topology needs, or holds a value that is nan or infinite.
        RuntimeError: If the topology breaks its promise; the message names the layer and both numbers.

    Example:
        >>> mask = torch.tensor([True, True, False, False])
        >>> weight, gradient = torch.tensor([0.1, 3.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 2.0])
        >>> layer = Layer("fc.weight", weight, mask, gradient, None, mask, 2, 2)
        >>> update(TOPOLOGIES.build("rigl", fraction=0.9), [layer], Moment(100, 1000, 17))
        {'fc.weight': tensor([False,  True, False,  True])}
    """
    _check_layers(topology, layers)
    masks = topology(layers, moment)
    _check_masks(topology, layers, masks)
    _check_counts(topology, layers, moment, masks)
    return {layer.name: masks[layer.name] for layer in layers}


def _check_layers(topology: Topology, layers: Sequence[Layer]) -> None:
    repeated = [name for name, times in Counter(layer.name for layer in layers).items() if times > 1]
    if repeated:
        raise InvalidInput(f"Layers need different names, but these came more than once: {', '.join(repeated)}.")
    for layer in layers:
        for what in ("mask", "explored", "weight", *sorted(topology.needs)):
            _check_tensor(layer, what)


def _check_tensor(layer: Layer, what: str) -> None:
    value = layer.signal(what)
    if value.shape != layer.weight.shape:
        came, wanted = tuple(value.shape), tuple(layer.weight.shape)
        raise InvalidInput(f"The {what} of {layer.name!r} has shape {came}; its weight has {wanted}.")
    if what in ("mask", "explored"):
        if value.dtype != torch.bool:
            raise InvalidInput(f"The {what} of {layer.name!r} must be bool (True = kept), not {value.dtype}.")
    elif not bool(value.isfinite().all()):
        wrong = int(value.isfinite().logical_not().sum())
        raise InvalidInput(
            f"The {what} of {layer.name!r} is nan or infinite in {wrong} of {value.numel()} places, so no mask can be "
            "chosen by it. Look for a learning rate that is too high, or clip gradients."
        )


def _check_masks(topology: Topology, layers: Sequence[Layer], masks: Mapping[str, Tensor]) -> None:
    names = {layer.name for layer in layers}
    if set(masks) != names:
        missing, extra = sorted(names - set(masks)), sorted(set(masks) - names)
        raise MethodError(f"{topology!r} answered for other layers: missing {missing}, unknown {extra}.")
    for layer in layers:
        mask = masks[layer.name]
        if mask.dtype != torch.bool or mask.shape != layer.weight.shape or mask.device != layer.weight.device:
            came = f"{mask.dtype} {tuple(mask.shape)} on {mask.device}"
            wanted = f"torch.bool {tuple(layer.weight.shape)} on {layer.weight.device}"
            raise MethodError(f"{topology!r} gave {layer.name!r} a mask {came}; it has to be {wanted}.")


def _check_counts(topology: Topology, layers: Sequence[Layer], moment: Moment, masks: Mapping[str, Tensor]) -> None:
    before = {layer.name: layer.kept for layer in layers}
    after = {name: int(mask.count_nonzero()) for name, mask in masks.items()}
    wanted = dict(before)
    if isinstance(topology, Scheduled):
        wanted = {layer.name: topology.count(layer, moment) for layer in layers}
    for name in before:
        if before[name] and not after[name]:
            raise MethodError(f"{topology!r} took the last weight of {name!r}: {before[name]} before, 0 after.")
        if topology.scope == "layer" and after[name] != wanted[name]:
            raise MethodError(f"{topology!r} keeps {after[name]} weights of {name!r} instead of {wanted[name]}.")
    if sum(after.values()) != sum(wanted.values()):
        kept, promised = sum(after.values()), sum(wanted.values())
        raise MethodError(f"{topology!r} keeps {kept} weights of the network instead of {promised}.")
