"""Predicts with a network over planes, in any number of threads."""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np
import torch
from torch import Tensor, nn

from rarefy.engines._cpu.kernels import _planes
from rarefy.engines._cpu.kernels._threads import count_threads, run_parallel
from rarefy.engines._cpu.planes._capture import CaptureError, capture
from rarefy.engines._cpu.planes._lower import Network, lower
from rarefy.engines._cpu.planes._program import Program, make_program


class PlanesNetwork:
    """A captured network that predicts in one compiled call.

    Args:
        network: The network.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._programs: dict[int, Program] = {}

    @staticmethod
    def capture(model: nn.Module, inputs: Tensor) -> PlanesNetwork:
        """Captures a model in evaluation mode, for inputs of this shape; its batch size does not count.

        Raises:
            CaptureError: If that is not possible, or an operation has no kernel.
        """
        networks = [lower(*capture(model, inputs, batch)) for batch in (2, 3)]
        if not _are_equal(*networks):
            raise CaptureError("its forward depends on the batch size")
        return PlanesNetwork(networks[0])

    def predict(self, inputs: Tensor, group: int, out: Tensor) -> None:
        """Computes the outputs of some images, `group` at a time.

        Args:
            inputs: Contiguous float32, [images, ...].
            group: Images that are computed together.
            out: Contiguous float32, [images, ...]; is written.
        """
        program = self._get_program(group)
        threads, groups = count_threads(), -(-len(inputs) // group)
        x, y = inputs.detach().view(-1).numpy(), out.view(-1).numpy()
        if groups >= threads:
            self._run(_planes.predict_groups, program, min(threads, groups), (x, y, 0, len(inputs), group))
        else:
            for first in range(0, len(inputs), group):
                some = (x, y, first, min(group, len(inputs) - first), group)
                self._run(_planes.predict_together, program, threads, some)

    def _run(self, kernel, program: Program, parts: int, images: tuple) -> None:
        arenas = program.take_arenas(parts if kernel is _planes.predict_groups else 1)
        counters = np.zeros(16 * len(program.steps) + 1, np.int64)
        run_parallel(kernel, parts, (
            program.steps, program.limits, program.weights, program.masks, arenas, images, counters, _find_yield(),
        ))  # fmt: skip
        program.give_arenas(arenas)

    def _get_program(self, group: int) -> Program:
        program = self._programs.get(group)
        if program is None:
            program = self._programs[group] = make_program(self.network, group)
        return program


def _are_equal(one: Network, two: Network) -> bool:
    """Whether two captures are the same network."""
    return one.shape == two.shape and [repr(op) for op in one.operations] == [repr(op) for op in two.operations]


@functools.cache
def _find_yield() -> int:
    """Finds the system's function that lets other threads run; 0 where there is none that can be called."""
    try:
        if sys.platform == "win32":
            function = ctypes.windll.kernel32.SwitchToThread
        else:
            function = ctypes.CDLL(None).sched_yield
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
