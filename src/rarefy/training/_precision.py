"""Which products of float32 numbers are exact, whatever the process asked for elsewhere; put back afterwards.

PyTorch keeps this twice: in the present settings (``fp32_precision`` of each operation) and in the former ones
(``allow_tf32``, ``set_float32_matmul_precision``), and reading the former raises where the two disagree:
https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices.
``torch.compile`` reads them, so that both are set here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

backends: Any = torch.backends  # whose settings its stubs do not know


@contextlib.contextmanager
def use_precision(precision: str) -> Iterator[None]:
    """Computes with TF32 on GPUs where `precision` is ``"tf32"``, and with all bits of a float32 otherwise.

    Example:
        >>> with use_precision("fp32"):
        ...     torch.get_float32_matmul_precision()
        'highest'
    """
    on_gpu = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    on_cpu = (backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)
    before = _own_values((*on_gpu, *on_cpu))
    products = _read(torch.get_float32_matmul_precision, "highest")
    convolutions = _read(lambda: backends.cudnn.allow_tf32, True)
    wanted = precision == "tf32"
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    backends.cudnn.allow_tf32 = wanted
    for operation in (*on_gpu, *on_cpu):
        operation.fp32_precision = "tf32" if wanted and operation in on_gpu else "ieee"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        backends.cudnn.allow_tf32 = convolutions
        for operation, value in before.items():
            operation.fp32_precision = value


def _own_values(operations: Any) -> dict[Any, str]:
    """What each operation says itself; where it says nothing it answers what its backend says, or all of torch."""
    above = (backends, backends.cudnn, backends.mkldnn)
    said = [level.fp32_precision for level in above]
    for level in above:
        level.fp32_precision = "none"
    found = {operation: operation.fp32_precision for operation in operations}
    for level, value in zip(above, said, strict=True):
        level.fp32_precision = value
    return found


def _read(setting: Callable[[], Any], default: Any) -> Any:
    """A former setting; torch's default where it cannot be read, since then only the present ones are in use."""
    try:
        return setting()
    except RuntimeError:
        return default
