"""The masks of a network. Only they write zeros into weights."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from rarefy.errors import InvalidInput
from rarefy.shards import layout_key, mask_device, shard_like, to_local

Shape = tuple[int, ...]

_PLAIN = (Tensor, Parameter)  # types of tensors that are never sharded
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


class Masks(Mapping[str, Tensor]):
    """An ordered mapping from a layer's name to a bool tensor of its weight's shape, True = kept.

    Read its tensors, change them only through ``replace``: what ``apply_`` writes is cached. Masks live where the
    weights are: ``apply_`` moves a mask to the device of its weight, once. Where a weight is sharded over processes
    the whole mask is in the host's memory, and only this process's part is on the weight's device. Copies and pickles
    are independent.

    Args:
        masks: Name to bool tensor; in the order of the layers.
        seed: The seed these masks were drawn from, if ``draw_masks`` drew them and nothing changed them.
        pattern: Name of the pattern they were drawn with.
        connect: Name to groups of the convolution, if they were drawn so that every unit has an input and an output.

    Raises:
        ValueError: If a mask is not a bool tensor.

    Example:
        >>> masks = Masks({"fc.weight": torch.tensor([[True, False], [False, False]])})
        >>> masks.counts(), masks.total, masks.density
        ({'fc.weight': 1}, 4, 0.25)
        >>> weight = torch.full((2, 2), float("nan"))
        >>> masks.apply_({"fc.weight": weight})
        >>> weight
        tensor([[nan, 0.],
                [0., 0.]])
    """

    def __init__(
        self,
        masks: Mapping[str, Tensor],
        *,
        seed: int | None = None,
        pattern: str = "unstructured",
        connect: Mapping[str, int] | None = None,
    ) -> None:
        self._masks = {name: _require_bool(name, mask).contiguous() for name, mask in masks.items()}
        self._seed = seed
        self._pattern = pattern
        self._connect = None if connect is None else dict(connect)
        self._kept: dict[str, dict[Hashable, Tensor | None]] = {}

    def __getitem__(self, name: str) -> Tensor:
        """The mask of a layer; raises KeyError for an unknown one. Not to be written to."""
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        """The layers' names, in order."""
        return iter(self._masks)

    def __len__(self) -> int:
        """How many layers there are."""
        return len(self._masks)

    def __eq__(self, other: object) -> bool:
        """Whether names, shapes and bits are the same, on whatever devices and in whatever order."""
        return isinstance(other, Masks) and self.checksum() == other.checksum()

    __hash__ = None  # type: ignore[assignment]  # masks can move

    def __repr__(self) -> str:
        """Layers and counts, for people."""
        return f"Masks({len(self)} layers, {self.kept} of {self.total} weights kept, seed={self.seed})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}  # the cache is rebuilt on demand

    @property
    def seed(self) -> int | None:
        """The seed these masks were drawn from; None if they were not drawn, or once any was replaced."""
        return self._seed

    @property
    def pattern(self) -> str:
        """The pattern these masks were drawn with, such as ``"out8"``; a topology that moves them keeps to groups."""
        return self._pattern

    @property
    def connect(self) -> dict[str, int] | None:
        """Name to groups of the convolution, if masks were drawn so that every unit has an input and an output."""
        return self._connect

    @property
    def shapes(self) -> dict[str, Shape]:
        """Name to shape of the weight."""
        return {name: tuple(mask.shape) for name, mask in self._masks.items()}

    def counts(self) -> dict[str, int]:
        """Name to number of weights kept, counted from the masks themselves."""
        return {name: int(mask.count_nonzero()) for name, mask in self._masks.items()}

    @property
    def kept(self) -> int:
        """Number of weights kept, counted from the masks themselves."""
        return sum(self.counts().values())

    @property
    def total(self) -> int:
        """Number of weights, kept or not."""
        return sum(mask.numel() for mask in self._masks.values())

    @property
    def density(self) -> float:
        """Fraction of weights kept, in [0, 1]; 1 if there are no weights."""
        return self.kept / self.total if self.total else 1.0

    def to(self, device: torch.device | str) -> Masks:
        """Moves every mask to a device, in place.

        Args:
            device: Where to; not ``meta``, which would forget the masks.

        Returns:
            These masks, for chaining.

        Raises:
            ValueError: For the device ``meta``.
        """
        self._masks = {name: move_mask(name, mask, torch.device(device)) for name, mask in self._masks.items()}
        self._kept.clear()
        return self

    @torch.no_grad()
    def apply_(self, weights: Mapping[str, Tensor]) -> None:
        """Sets pruned weights to +0.0 in place, NaN and infinity included.

        The bits are multiplied by 1 or 0 as integers, in one fused call per dtype.

        Args:
            weights: Name to weight, for all layers or some of them; any floating dtype, memory format and device.
                Each process writes its own part of a sharded weight.

        Raises:
            ValueError: If a name has no mask, or a weight has not its mask's shape.

        Example:
            >>> weight = torch.nn.Parameter(torch.tensor([1.0, float("nan"), 3.0]))
            >>> Masks({"fc.weight": torch.tensor([True, False, True])}).apply_({"fc.weight": weight})
            >>> weight.tolist()
            [1.0, 0.0, 3.0]
        """
        pairs: dict[tuple[object, ...], tuple[list[Tensor], list[Tensor]]] = {}
        for name, weight in weights.items():
            if weight.layout != torch.strided:  # the gradient of an embedding with sparse=True
                fill_(weight, require_mask(self, name, weight).logical_not(), 0)
                continue
            own = weight if type(weight) in _PLAIN else to_local(weight)
            place = (own.device, own.shape, own.stride()) if own is weight else layout_key(weight)
            cached = self._kept.setdefault(name, {})
            if place not in cached:
                if own is not weight:
                    cached.clear()  # the whole weight's mask would take the memory that sharding saves
                cached[place] = self._lay_out(name, weight)
            kept = cached[place]
            if kept is not None:
                bits, factors = pairs.setdefault((own.device, own.dtype), ([], []))
                bits.append(own.view(_INTEGERS[own.element_size()]))
                factors.append(kept)
        for bits, factors in pairs.values():
            torch._foreach_mul_(bits, factors)

    def replace(self, name: str, mask: Tensor) -> None:
        """Replaces the mask of a layer; from then on ``seed`` is None.

        Args:
            name: The layer.
            mask: Bool tensor of the same shape, on any device; copied.

        Raises:
            ValueError: If there is no such layer, or the dtype or shape is not that of the old mask.

        Example:
            >>> masks = Masks({"fc.weight": torch.tensor([True, False])}, seed=17)
            >>> masks.replace("fc.weight", torch.tensor([False, True]))
            >>> masks["fc.weight"].tolist(), masks.seed
            ([False, True], None)
        """
        require_mask(self, name, _require_bool(name, mask))
        self._masks[name] = mask.detach().clone(memory_format=torch.contiguous_format)
        self._kept.pop(name, None)
        self._seed = None

    def checksum(self) -> str:
        """BLAKE2b (16 bytes, hexadecimal) over names, shapes and bits; the same on every device and in every order.

        Example:
            >>> Masks({"fc.weight": torch.tensor([[True, False], [False, True]])}).checksum()
            'b9810cf288727668482cb382873cdda2'
        """
        digest = hashlib.blake2b(b"rarefy/masks/1", digest_size=16)
        for name in sorted(self):
            label, shape = name.encode(), self._masks[name].shape
            digest.update(np.array([len(label)], "<u8").tobytes() + label)
            digest.update(np.array([len(shape), *shape], "<u8").tobytes())
            digest.update(pack_bits(self._masks[name]).tobytes())
        return digest.hexdigest()

    def _lay_out(self, name: str, weight: Tensor) -> Tensor | None:
        """Lays out the mask (or this process's part) in memory like its weight; None if every weight is kept."""
        mask = self._masks[name] = move_mask(name, require_mask(self, name, weight), mask_device(weight))
        own = to_local(shard_like(mask, weight))
        if bool(own.all()):
            return None
        return torch.empty_like(to_local(weight), dtype=torch.bool, requires_grad=False).copy_(own)


@torch.no_grad()
def fill_(tensor: Tensor, chosen: Tensor, value: float) -> None:
    """Fills chosen elements of a tensor, in place.

    Args:
        tensor: Any tensor: dense, a part of a sharded one, or a sparse one (its stored elements).
        chosen: Bool tensor of its shape, on any device.
        value: What to write.

    Example:
        >>> rows = torch.sparse_coo_tensor([[1]], torch.ones(1, 2), (3, 2), check_invariants=True)
        >>> fill_(rows, torch.tensor([[True, True], [True, False], [True, True]]), 0)
        >>> rows.to_dense()[1].tolist()
        [0.0, 1.0]
    """
    if tensor.layout == torch.sparse_coo:
        values = tensor._values()
        values.masked_fill_(chosen.to(values.device)[tuple(tensor._indices())], value)
    else:
        tensor.masked_fill_(shard_like(chosen, tensor), value)


def require_mask(masks: Masks, name: str, weight: Tensor | None = None) -> Tensor:
    """Returns the mask of a layer; raises ValueError if there is none or the weight has another shape."""
    if name not in masks:
        near = difflib.get_close_matches(name, list(masks), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidInput(f"There is no mask for {name!r}.{hint} Masked layers: {', '.join(masks) or 'none'}.")
    mask = masks[name]
    if weight is not None and mask.shape != weight.shape:
        raise InvalidInput(f"{name!r} has shape {tuple(weight.shape)}, but its mask has {tuple(mask.shape)}.")
    return mask


def move_mask(name: str, mask: Tensor, device: torch.device) -> Tensor:
    """Moves a mask to a device; raises ValueError for ``meta``, which holds no values."""
    if device.type == "meta":
        raise InvalidInput(f"The mask of {name!r} cannot go to the device 'meta': give the model real weights first.")
    return mask.to(device)


def pack_bits(mask: Tensor) -> NDArray[np.uint8]:
    """Packs the bits of a mask in flat order, eight to a byte, least significant bit first."""
    return np.packbits(mask.cpu().contiguous().numpy().ravel(), bitorder="little")


def _require_bool(name: str, mask: Tensor) -> Tensor:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        received = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise InvalidInput(f"The mask of {name!r} must be a bool tensor (True = kept), not {received}.")
    return mask.detach()
