"""Predicts with a network over planes, in any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rarefy.engines._cpu.kernels._threads import count_threads
from rarefy.engines._cpu.planes._capture import CaptureError, capture
from rarefy.engines._cpu.planes._lower import Network, lower
from rarefy.engines._cpu.planes._operations import Maximum, Sum
from rarefy.engines._torch_internals import needs_torch_functions

if TYPE_CHECKING:
    from rarefy.engines._cpu.planes._program import Program

_MOST_PROGRAMS = 8  # a new size of groups beyond so many makes all be written again


class PlanesNetwork:
    """A captured network that predicts in one compiled call.

    Args:
        network: The network.
        input_shape: Shape of the inputs of one image.
    """

    def __init__(self, network: Network, input_shape: Sequence[int]) -> None:
        self._network = network
        self._programs: dict[int, Program] = {}
        self.input_shape, self.output_shape = tuple(input_shape), network.shape

    @staticmethod
    def capture(model: nn.Module, inputs: Tensor) -> PlanesNetwork:
        """Captures a model in evaluation mode, for inputs of this shape; its batch size does not count.

        Raises:
            CaptureError: If that is not possible, or an operation has no kernel.
        """
        networks = [lower(*capture(model, inputs, batch)) for batch in (2, 3)]
        if not _are_equal(*networks):
            raise CaptureError("its forward depends on the batch size")
        return PlanesNetwork(networks[0], inputs.shape[1:])

    def count_floats(self, group: int) -> int:
        """Returns how many floats of memory a group of images needs."""
        return self._get_program(group).size

    def predict(self, inputs: Tensor, group: int, out: Tensor) -> None:
        """Computes the outputs of some images: groups in parallel, and what is left in all threads together.

        Args:
            inputs: Contiguous float32, [images, ...].
            group: Images that are computed together.
            out: Contiguous float32, [images, ...]; is written.
        """
        program, threads = self._get_program(group), count_threads()
        images, groups = len(inputs), -(-len(inputs) // group)
        parallel = min(images, groups // threads * threads * group)
        x, y = inputs.detach().view(-1).numpy(), out.view(-1).numpy()
        if parallel:
            program.run(threads, (x, y, 0, parallel, group), together=False)
        for first in range(parallel, images, group):
            program.run(threads, (x, y, first, min(group, images - first), group), together=True)

    def _get_program(self, group: int) -> Program:
        program = self._programs.get(group)
        if program is None:
            from rarefy.engines._cpu.planes._program import make_program  # Numba, which takes long to import

            if len(self._programs) >= _MOST_PROGRAMS:
                self._programs = {}
            program = self._programs[group] = make_program(self._network, group)
        return program

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_programs": {}}


def _are_equal(one: Network, two: Network) -> bool:
    """Whether two captures are the same network."""
    return _describe(one) == _describe(two)


def _describe(network: Network) -> list[tuple[object, ...]]:
    """Describes the operations of a network: what each reads, its options, and its weights by their sum."""
    numbers = {network.source: 0} | {op.out: i for i, op in enumerate(network.operations, start=1)}
    text: list[tuple[object, ...]] = [(numbers[network.out], network.shape)]
    for op in network.operations:
        text.append((type(op).__name__, numbers[op.source], op.out.shape))
        if isinstance(op, Sum):
            taps, other = op.taps, None if op.other is None else numbers[op.other]
            weights = [float(np.abs(array).sum()) for array in (taps.k, taps.c, taps.dy, taps.dx, taps.values, op.bias)]
            text.append((other, op.stride, op.low, op.high, *weights))
        elif isinstance(op, Maximum):
            text.append((op.stride, op.shifts))
    return text


def is_plain(inputs: Any) -> bool:
    """Whether inputs are an ordinary float32 tensor on the CPU, and torch's own functions need not run."""
    return (
        type(inputs) is Tensor
        and inputs.dtype == torch.float32
        and inputs.device.type == "cpu"
        and inputs.layout == torch.strided
        and not needs_torch_functions()
    )
