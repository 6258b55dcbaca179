"""Reads images from the arrays of ``.npz`` files."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from torch import Tensor

from rarefy.data._arrays import list_arrays, read_array
from rarefy.data._errors import CorruptData
from rarefy.data._files import show_path
from rarefy.errors import InvalidInput

_IMAGES = "images"  # the array that is read if no other is named


def read_image_array(path: Path, *, channels: int = 3) -> Tensor:
    """Reads an array of images from an ``.npz`` file.

    Args:
        path: The file, or ``FILE.npz:KEY`` for one of its arrays; without a key its only array, or ``images``. Arrays
            are uint8 [N, H, W], [N, H, W, C] or [N, C, H, W].
        channels: A number of channels C to recognise besides 1 and 3.

    Returns:
        uint8 [N, C, H, W].

    Raises:
        MissingData: If there is no such file.
        CorruptData: If the file is damaged, has no such array, or the array does not hold images.
        InvalidInput: If it is not an ``.npz`` file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "some.npz"
        >>> numpy.savez(path, images=numpy.zeros((2, 8, 6, 3), numpy.uint8))
        >>> read_image_array(path).shape
        torch.Size([2, 3, 8, 6])
    """
    file, wanted = split_array_key(path)
    if file.suffix != ".npz":
        raise InvalidInput(f"{show_path(file)} is neither a folder of pictures nor an .npz file.")
    name = _choose_array(file, wanted)
    pixels = read_array(file, name)
    if pixels.dtype != numpy.uint8 or pixels.ndim not in (3, 4) or not pixels.size:
        problem = f"{pixels.dtype} {list(pixels.shape)}"
        raise CorruptData(f"{name!r} in {show_path(file)} is {problem}; images are uint8 [N, H, W, C].", path=file)
    return torch.from_numpy(numpy.ascontiguousarray(order_channels(pixels, channels)))


def order_channels(pixels: numpy.ndarray, channels: int = 3) -> numpy.ndarray:
    """Orders the axes of images [N, H, W], [N, H, W, C] or [N, C, H, W] as [N, C, H, W].

    The axis of 1, 3 or `channels` entries is that of channels; if both the second and the last could be, the last is.

    Example:
        >>> order_channels(numpy.zeros((2, 8, 6, 3))).shape
        (2, 3, 8, 6)
    """
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    known = (1, 3, channels)
    is_ordered = pixels.shape[1] in known and pixels.shape[3] not in known
    return pixels if is_ordered else pixels.transpose(0, 3, 1, 2)


def split_array_key(path: Path) -> tuple[Path, str]:
    """Splits ``x.npz:key`` into file and key; the key may be empty.

    Example:
        >>> split_array_key(Path("x.npz:images"))[1]
        'images'
    """
    file, colon, array = str(path).rpartition(".npz:")
    return (Path(f"{file}.npz"), array) if colon else (path, "")


def _choose_array(file: Path, wanted: str) -> str:
    """Chooses the wanted array of a file; where none is named the only one, or ``images``."""
    names = list_arrays(file)
    if not names:
        raise CorruptData(f"{show_path(file)} holds no array; images are uint8 [N, H, W, C].", path=file)
    name = wanted or (names[0] if len(names) == 1 else _IMAGES)
    if name not in names:
        problem = f"has no array {name!r}" if wanted else f"holds {len(names)} arrays"
        known = ", ".join(names)
        raise CorruptData(f"{show_path(file)} {problem}; write {show_path(file)}:KEY with one of: {known}.", path=file)
    return name
