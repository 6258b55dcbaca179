"""The result of `compile_inference` for a network that was captured: each batch is computed in the fastest way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.engines._batches import Cost, GroupCost, LineCost, Piece, make_plan
from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.planes import PlanesNetwork, is_plain
from rarefy.engines._measure import time_rounds

_GROUPS = (1, 4, 16, 64)
_MOST_FLOATS = 1 << 24  # memory of a group
_ROUNDS = 15
_SECONDS = 0.05  # for all rounds of a way at one batch size
_LONGEST = 300.0  # milliseconds that a batch may take to be measured
_WORTH = 0.95  # of the time of smaller groups, so that larger ones are tried


@dataclasses.dataclass(frozen=True)
class Ways:
    """The ways in which a network can predict.

    Args:
        dense: With torch's layers.
        channels_last: The same in that memory layout, where it works so.
        blocked: With sparse layers over blocks of 16 images.
        planes: In one call, over planes.
    """

    dense: nn.Module
    channels_last: nn.Module | None
    blocked: nn.Module | None
    planes: PlanesNetwork

    def list_groups(self) -> list[int]:
        """Lists the sizes of groups for which the planes take an acceptable amount of memory."""
        return [group for group in _GROUPS if group == 1 or self.planes.count_floats(group) <= _MOST_FLOATS]

    def list_others(self) -> list[str]:
        """Lists the ways that compute a whole batch at once."""
        return [way for way in ("dense", "channels_last", "blocked") if getattr(self, way) is not None]

    def predict(self, way: str, inputs: Tensor, out: Tensor) -> None:
        """Computes outputs in one way."""
        if way.startswith("planes "):
            self.planes.predict(inputs, int(way.removeprefix("planes ")), out)
        elif way == "channels_last":
            out.copy_(self._call(self.channels_last, inputs.contiguous(memory_format=torch.channels_last)))
        else:
            out.copy_(self._call(getattr(self, way), inputs))

    def _call(self, model: nn.Module | None, inputs: Tensor) -> Tensor:
        assert model is not None
        with torch.no_grad():
            output: Tensor = model(inputs)
        return output


class CompiledNetwork(nn.Module):
    """A network that is fixed, in evaluation mode and without gradients; see `compile_inference`.

    Args:
        ways: How it can predict.
        costs: Each way's name, and the time it takes.
    """

    def __init__(self, ways: Ways, costs: Mapping[str, Cost]) -> None:
        super().__init__()
        self.costs = dict(costs)
        self.network = ways.dense
        self._ways = ways
        self._plan = make_plan(self.costs)
        self.eval()
        self._is_fixed = True

    def forward(self, inputs: Tensor) -> Tensor:
        """Predicts. Inputs of another shape or type than when it was compiled go through torch's layers."""
        ways = self._ways
        if not is_plain(inputs) or inputs.shape[1:] != ways.planes.input_shape or not len(inputs):
            with torch.no_grad():
                output: Tensor = self.network(inputs)
            return output
        source = inputs.contiguous()
        out = torch.empty((len(inputs), *ways.planes.output_shape))
        pieces = self._plan(len(inputs))
        if len(pieces) == 1:
            ways.predict(pieces[0].way, source, out)
            return out
        first = 0
        for way, images in pieces:
            ways.predict(way, source[first : first + images], out[first : first + images])
            first += images
        return out

    def plan(self, images: int) -> tuple[Piece, ...]:
        """Returns how a batch of so many images is computed: names of ways, and how many images each computes."""
        return self._plan(images)

    def train(self, mode: bool = True) -> CompiledNetwork:
        """Stays in evaluation mode."""
        super().train(False)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_is_fixed") and name not in ("training", "_is_fixed"):
            raise AttributeError(
                f"A compiled network is fixed; got a new value for {name!r}. Change the network itself, then compile "
                "it again."
            )
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CompiledNetwork:
        tensors = [*self.parameters(), *self.buffers()]
        if any((new := fn(tensor)).dtype != tensor.dtype or new.device != tensor.device for tensor in tensors):
            raise RuntimeError(
                "A compiled network keeps its type and device. Convert the network itself, then compile it again."
            )
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_plan"] = make_plan(self.costs)


def measure_costs(ways: Ways, inputs: Tensor) -> dict[str, Cost]:
    """Measures each way at the batch sizes that tell its time at others.

    Args:
        ways: The ways.
        inputs: Inputs of the shape and batch size that predictions will have.
    """
    costs: dict[str, Cost] = {}
    for group in ways.list_groups():
        before = [cost.estimate(group) for cost in costs.values()]
        cost = costs[f"planes {group}"] = _measure_groups(ways, group, inputs)
        if before and cost.estimate(group) > _WORTH * min(before):
            break  # larger groups are not faster either
    for way in ways.list_others():
        costs[way] = _measure_line(ways, way, inputs)
    return costs


def _measure_groups(ways: Ways, group: int, inputs: Tensor) -> GroupCost:
    way, threads = f"planes {group}", torch.get_num_threads()
    together = _time_way(ways, way, group, inputs)
    parallel = together if threads == 1 else _time_way(ways, way, group * threads, inputs)
    return GroupCost(group, together, parallel, threads)


def _measure_line(ways: Ways, way: str, inputs: Tensor) -> LineCost:
    unit = LANES if way == "blocked" else 1
    times = {unit: _time_way(ways, way, unit, inputs)}
    for size in sorted({LANES, len(inputs)} - {unit}):
        if size > unit and times[unit] * size / unit < _LONGEST:
            times[size] = _time_way(ways, way, size, inputs)
    return LineCost(unit, times)


def _time_way(ways: Ways, way: str, size: int, inputs: Tensor) -> float:
    batch = repeat_images(inputs, size)
    out = torch.empty((size, *ways.planes.output_shape))
    return time_fastest(lambda: ways.predict(way, batch, out))


def repeat_images(inputs: Tensor, size: int) -> Tensor:
    """Makes a batch of some size of the images of another one."""
    return inputs.repeat(-(-size // len(inputs)), *[1] * (inputs.ndim - 1))[:size].contiguous()


def time_fastest(function: Callable[[], object]) -> float:
    """Returns the milliseconds of a function's fastest call: whatever else the machine does makes calls slower."""
    return min(time_rounds({"": function}, rounds=_ROUNDS, seconds=_SECONDS, hopeless=math.inf)[""])
