"""An unpickler for CIFAR's official files that builds nothing else.

The files are checked against their md5 first; this is the second check. A pickle runs whatever callable it can name, so
only three names exist here: the ones with which numpy writes an array.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy

from rarefy.data._errors import CorruptData

# Asking an array for its reconstructor works in every numpy; the module it lives in has moved between versions.
_RECONSTRUCT = numpy.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): numpy.ndarray,
    ("numpy", "dtype"): numpy.dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no such file needs")
        return _ALLOWED[module, name]


def unpickle(content: bytes, path: Path) -> dict[bytes, Any]:
    """Unpickles the dictionary in a CIFAR file; its keys and strings are bytes, as the files were written by Python 2.

    Args:
        content: The file's bytes.
        path: The file, for the message.

    Raises:
        CorruptData: If the pickle is broken, asks for anything but numpy arrays, or holds no dictionary.
    """
    try:
        entry = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a broken pickle can raise anything
        raise CorruptData(f"{path} is refused: {error}.", path=path) from error
    if not isinstance(entry, dict):
        raise CorruptData(f"{path} is refused: it holds a {type(entry).__name__}, not a dictionary.", path=path)
    return entry
