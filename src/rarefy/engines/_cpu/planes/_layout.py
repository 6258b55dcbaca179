"""Lays a network's tensors out as flat planes, so that a shift by rows and columns is one offset.

All tensors that an operation reads or writes at the same position share the distance of rows and of images. The zeros
right of a row are those left of the next one, and the zeros below an image those above the next one.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.planes._operations import Array, Maps, Maximum, Operation, Split, Sum


class Geometry(NamedTuple):
    """How a tensor lies in memory: distances in floats, but `rows` in rows.

    Args:
        plane: From channel to channel.
        lead: From the begin of a plane to the first pixel.
        pitch: From row to row.
        rows: From image to image.
        height: Rows of an image.
        width: Columns of an image.
    """

    plane: int
    lead: int
    pitch: int
    rows: int
    height: int
    width: int


def split_strides(operations: Iterable[Operation]) -> list[Operation]:
    """Replaces each strided operation by a `Split` of its source and an operation of stride 1."""
    operations = list(operations)
    phases = _collect_phases(operations)
    splits: dict[tuple[Maps, int], Split] = {}
    steps: list[Operation] = []
    for operation in operations:
        if isinstance(operation, (Sum, Maximum)) and operation.stride > 1:
            key = operation.source, operation.stride
            if key not in splits:
                splits[key] = _make_split(*key, tuple(sorted(phases[key])))
                steps.append(splits[key])
            operation = _read_split(operation, splits[key])
        steps.append(operation)
    return steps


def _collect_phases(operations: Iterable[Operation]) -> dict[tuple[Maps, int], set[tuple[int, int]]]:
    """Collects the phases (row, column) in which strided operations read their source."""
    phases: dict[tuple[Maps, int], set[tuple[int, int]]] = defaultdict(set)
    for operation in operations:
        if isinstance(operation, (Sum, Maximum)) and operation.stride > 1:
            rows, columns = (shifts % operation.stride for shifts in list_shifts(operation))
            phases[operation.source, operation.stride] |= set(zip(rows.tolist(), columns.tolist(), strict=True))
    return phases


def list_shifts(operation: Sum | Maximum) -> tuple[Array, Array]:
    """Lists the shifts in rows and columns at which an operation reads."""
    if isinstance(operation, Sum):
        return operation.taps.dy, operation.taps.dx
    _, rows, columns = zip(*operation.shifts, strict=True)
    return np.array(rows), np.array(columns)


def _make_split(source: Maps, stride: int, phases: tuple[tuple[int, int], ...]) -> Split:
    height, width = -(-source.height // stride), -(-source.width // stride)
    return Split(source, Maps(source.channels * len(phases), height, width), phases, stride)


def _read_split(operation: Sum | Maximum, split: Split) -> Sum | Maximum:
    """Makes the operation that reads the split source."""
    (rows, columns), stride = list_shifts(operation), split.stride
    numbers = {phase: number for number, phase in enumerate(split.phases)}
    phases = [numbers[phase] for phase in zip((rows % stride).tolist(), (columns % stride).tolist(), strict=True)]
    dy, dx = rows // stride, columns // stride
    if isinstance(operation, Sum):
        c = operation.taps.c + np.array(phases, np.int64) * operation.source.channels
        taps = dataclasses.replace(operation.taps, c=c, dy=dy, dx=dx)
        return dataclasses.replace(operation, source=split.out, taps=taps, stride=1)
    shifts = tuple(zip(phases, dy.tolist(), dx.tolist(), strict=True))
    return dataclasses.replace(operation, source=split.out, shifts=shifts, stride=1)


def lay_out(steps: Sequence[Operation], maps: Iterable[Maps], images: int) -> dict[Maps, Geometry]:
    """Determines how every tensor lies in memory.

    Args:
        steps: The operations, none of them strided.
        maps: All tensors.
        images: Images in a group: they lie one below the other.
    """
    maps = list(maps)
    classes = _group_maps(steps, maps)
    members: dict[Maps, list[Maps]] = defaultdict(list)
    for tensor in maps:
        members[classes[tensor]].append(tensor)
    pads = _find_pads(steps, classes)
    geometries: dict[Maps, Geometry] = {}
    for representative, tensors in members.items():
        geometries |= _lay_out_class(tensors, pads[representative], images)
    return geometries


def _group_maps(steps: Sequence[Operation], maps: Sequence[Maps]) -> dict[Maps, Maps]:
    """Finds tensors that must share distances; returns a representative of each one's class."""
    parents = {tensor: tensor for tensor in maps}

    def find(tensor: Maps) -> Maps:
        while parents[tensor] is not tensor:
            tensor = parents[tensor]
        return tensor

    for step in steps:
        if isinstance(step, (Sum, Maximum)):
            others = [step.other] if isinstance(step, Sum) and step.other is not None else []
            for other in (step.source, *others):
                parents[find(other)] = find(step.out)
    return {tensor: find(tensor) for tensor in maps}


def _find_pads(steps: Sequence[Operation], classes: dict[Maps, Maps]) -> dict[Maps, tuple[int, int]]:
    """Finds how many rows and columns of zeros each class needs."""
    pads: dict[Maps, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for step in steps:
        if isinstance(step, (Sum, Maximum)):
            rows, columns = (int(np.abs(shifts).max(initial=0)) for shifts in list_shifts(step))
            before = pads[classes[step.source]]
            pads[classes[step.source]] = max(before[0], rows), max(before[1], columns)
    return pads


def _lay_out_class(tensors: Sequence[Maps], pads: tuple[int, int], images: int) -> dict[Maps, Geometry]:
    if tensors[0].is_features:
        return dict.fromkeys(tensors, Geometry(1 if images == 1 else _round_up(images), 0, 1, 1, 1, 1))
    pitch = max(tensor.width for tensor in tensors) + pads[1]
    rows = max(tensor.height for tensor in tensors) + pads[0]
    halo = pads[0] * pitch + pads[1]
    lead = _round_up(halo)
    plane = _round_up(lead + images * rows * pitch + halo)
    return {tensor: Geometry(plane, lead, pitch, rows, tensor.height, tensor.width) for tensor in tensors}


def _round_up(count: int) -> int:
    return -(-count // LANES) * LANES


def allocate(
    steps: Sequence[Operation], first: Maps, last: Maps, geometries: dict[Maps, Geometry]
) -> tuple[dict[Maps, int], int]:
    """Places tensors in one array of floats; returns where each begins, and the array's size.

    The zeros around pixels are never written, so that only tensors of one geometry take the same place, one after the
    other.
    """
    ends = {first: 0, last: len(steps)}
    for number, step in enumerate(steps):
        ends |= dict.fromkeys(_list_sources(step), number)
    ends[last] = len(steps)
    slots: list[_Slot] = []
    owners: dict[Maps, _Slot] = {}
    for number, tensor in enumerate([first, *(step.out for step in steps)], start=-1):
        slot = _find_slot(slots, geometries[tensor], number, tensor.channels)
        slot.channels, slot.busy = max(slot.channels, tensor.channels), ends.get(tensor, number)
        owners[tensor] = slot
    size = 0
    for slot in slots:
        slot.begin, size = size, size + _round_up(slot.channels * slot.geometry.plane)
    slack = max(geometry.plane for geometry in geometries.values())  # what vectors read beyond the last plane
    return {tensor: slot.begin for tensor, slot in owners.items()}, _round_up(size + slack + LANES * LANES)


@dataclasses.dataclass(eq=False)
class _Slot:
    """Memory for tensors of one geometry.

    Args:
        geometry: The geometry.
        channels: The most channels of its tensors.
        busy: The last step that reads its tensor.
        begin: Where it begins.
    """

    geometry: Geometry
    channels: int = 0
    busy: int = -2
    begin: int = 0


def _find_slot(slots: list[_Slot], geometry: Geometry, number: int, channels: int) -> _Slot:
    """Finds the smallest free slot that is large enough, else the largest free one, else a new one."""
    free = [slot for slot in slots if slot.geometry == geometry and slot.busy < number]
    if not free:
        slots.append(_Slot(geometry))
        return slots[-1]
    return min(free, key=lambda slot: (slot.channels < channels, abs(slot.channels - channels)))


def _list_sources(step: Operation) -> list[Maps]:
    other = step.other if isinstance(step, Sum) else None
    return [step.source, *([] if other is None else [other])]
