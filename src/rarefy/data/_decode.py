"""Decoding of pictures: formats, largest size, and conversion of 16-bit pixels."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rarefy.data._errors import BadPicture, CorruptData
from rarefy.data._files import read_file, show_path

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
"""Formats that are decoded, whatever a file's name; no other is tried (EPS would start an interpreter)."""

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif"),
)
"""File endings of pictures in class folders, shards and folders of out-of-distribution images; case is ignored."""

MOST_PIXELS = 1 << 26
"""A picture of more pixels is refused: decoded, it takes a gigabyte. The largest of ImageNet has 61 million."""

MOST_BYTES = 1 << 29
_TILE = (322, 323)  # a TIFF's tags for width and height of a tile, which is decoded whole
_BITS = 258


def decode_picture(encoded: bytes) -> Image.Image:
    """Decodes an encoded picture to RGB.

    Of an animation it is the first frame; an alpha channel is dropped. Of 16 bits the upper 8 are kept, in grey as in
    colour. 32-bit and floating-point pixels, which have no agreed white, are refused.

    Args:
        encoded: A file of one of ``FORMATS``.

    Returns:
        The picture, mode RGB.

    Raises:
        BadPicture: If there is none, or it has more than ``MOST_PIXELS`` pixels.

    Example:
        >>> file = io.BytesIO()
        >>> Image.fromarray(numpy.array([[0x8000]], dtype=numpy.uint16)).save(file, "PNG")
        >>> decode_picture(file.getvalue()).getpixel((0, 0))
        (128, 128, 128)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, of which ImageNet has plenty, harms no pixel
            picture = Image.open(io.BytesIO(encoded), formats=FORMATS)
            _check_size(picture)
            return _reduce_depth(picture).convert("RGB")
    except (BadPicture, MemoryError):
        raise
    except UnidentifiedImageError as error:  # its message names an object in memory
        raise BadPicture(f"no known image format ({', '.join(FORMATS)})") from error
    except Exception as error:  # a decoder that is given a broken file can raise anything
        raise BadPicture(f"{error or type(error).__name__}") from error


def read_picture(path: Path) -> Tensor:
    """Reads a picture as uint8 [3, H, W].

    Raises:
        MissingData: If it is not there.
        CorruptData: If no picture can be made of it, or the path is no file; names it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (4, 2)).save(path)
        >>> read_picture(path).shape
        torch.Size([3, 2, 4])
    """
    try:
        return to_pixels(decode_picture(read_file(path, MOST_BYTES)))
    except BadPicture as error:
        raise CorruptData(f"No picture can be made of {show_path(path)}: {error}.", path=path) from error


def to_pixels(picture: Image.Image) -> Tensor:
    """Converts an RGB picture to uint8 [3, H, W]."""
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)


def is_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture.

    Example:
        >>> is_picture("n01440764_10026.JPEG"), is_picture("notes.txt")
        (True, False)
    """
    return name.lower().endswith(ENDINGS)


def _check_size(picture: Image.Image) -> None:
    """Refuses what would take too much memory, before a pixel is decoded."""
    sizes = [picture.size]
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        sizes.append(tuple(int(tags.get(tag, 1)) for tag in _TILE))  # type: ignore[arg-type]
    for width, height in sizes:
        if width * height > MOST_PIXELS:
            raise BadPicture(f"it has {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} are decoded")


def _reduce_depth(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel: Pillow's own conversion takes every grey above 255 for white."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        bits = getattr(picture, "tag_v2", {}).get(_BITS, (16,))[0]
        return Image.fromarray((numpy.asarray(picture) >> (bits - 8)).astype(numpy.uint8))
    if picture.mode in ("I", "F"):
        raise BadPicture(
            f"its pixels are {'floating-point numbers' if picture.mode == 'F' else 'integers of 32 bits, or signed'}, "
            "for which no white is agreed; save it with 8 or 16 bits"
        )
    return picture
