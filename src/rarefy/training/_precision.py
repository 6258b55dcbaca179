"""Sets the precision of float32 matrix products and convolutions, and restores it afterwards.

PyTorch keeps this twice: in the current settings (``fp32_precision`` of each operation) and in the legacy ones
(``allow_tf32``, ``set_float32_matmul_precision``), and reading a legacy one raises if the two disagree:
https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices.
``torch.compile`` reads the legacy ones, so both are set here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

backends: Any = torch.backends  # its stubs lack these settings


@contextlib.contextmanager
def use_precision(precision: str) -> Iterator[None]:
    """Context that uses TF32 on GPUs if `precision` is ``"tf32"``, and full float32 otherwise.

    Example:
        >>> with use_precision("fp32"):
        ...     torch.get_float32_matmul_precision()
        'highest'
    """
    on_gpu = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    on_cpu = (backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)
    before = _read_overrides((*on_gpu, *on_cpu))
    matmul = _read_legacy(torch.get_float32_matmul_precision, "highest")
    allow_tf32 = _read_legacy(lambda: backends.cudnn.allow_tf32, True)
    use_tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if use_tf32 else "highest")
    backends.cudnn.allow_tf32 = use_tf32
    for operation in (*on_gpu, *on_cpu):
        operation.fp32_precision = "tf32" if use_tf32 and operation in on_gpu else "ieee"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        backends.cudnn.allow_tf32 = allow_tf32
        for operation, value in before.items():
            operation.fp32_precision = value


def _read_overrides(operations: Any) -> dict[Any, str]:
    """Reads each operation's own setting; an unset operation would return the setting of its backend or of torch."""
    parents = (backends, backends.cudnn, backends.mkldnn)
    inherited = [parent.fp32_precision for parent in parents]
    for parent in parents:
        parent.fp32_precision = "none"
    overrides = {operation: operation.fp32_precision for operation in operations}
    for parent, value in zip(parents, inherited, strict=True):
        parent.fp32_precision = value
    return overrides


def _read_legacy(setting: Callable[[], Any], default: Any) -> Any:
    """Reads a legacy setting; returns torch's default if that raises, since then only current settings are used."""
    try:
        return setting()
    except RuntimeError:
        return default
