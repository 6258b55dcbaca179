"""Files of data as they should be, and what can happen to their bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import random
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "ppm": "PPM", "gif": "GIF"}
MARK = "executed"  # what a file that could run something would leave behind
Harm = Callable[[Path], None]


def picture(kind: str, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((20, 24)).save(file, kind)
    return file.getvalue()


def tar(members: dict[str, bytes], **fields: Any) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for field, value in fields.items():
                setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def samples(labels: list[bytes]) -> dict[str, bytes]:
    found = {}
    for number, label in enumerate(labels):
        found |= {f"s{number:03}.png": picture("PNG", number), f"s{number:03}.cls": label}
    return found


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npz_of(header: dict[str, Any], content: bytes, times: int = 1) -> Harm:
    """Writes an archive of one array whose header claims what it likes, and whose content comes so many times."""

    def harm(path: Path) -> None:
        path.unlink(missing_ok=True)
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("x.npy", "w", force_zip64=True) as array,
        ):
            np.lib.format.write_array_header_1_0(array, header)
            for _ in range(times):
                array.write(content)

    return harm


class _Runs:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def runs(mark: Path) -> bytes:
    return pickle.dumps(_Runs(mark))


def png_claim(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG of few bytes with as many pixels as it likes; up to 13,000 rows are there: zeros pack a thousandfold."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(1)
    row = bytes(1 + width * bits * {0: 1, 2: 3}[colour] // 8)
    rows = b"".join(packer.compress(row) for _ in range(height if height <= 13_000 else 1)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def damage(content: bytes, rng: random.Random, cuts: int, flips: int) -> Iterator[tuple[str, bytes]]:
    """Truncations, flipped bits, blocks of zeros, and the whole as another kind of file."""
    for _ in range(cuts):
        end = rng.randrange(len(content))
        yield f"cut at {end}", content[:end]
    for _ in range(flips):
        changed = bytearray(content)
        at = rng.randrange(len(content)) if rng.random() < 0.6 else rng.randrange(min(600, len(content)))
        changed[at] ^= 1 << rng.randrange(8)
        yield f"bit at {at}", bytes(changed)
    for _ in range(max(1, flips // 8)):
        at = rng.randrange(len(content))
        yield f"zeros at {at}", content[:at] + bytes(len(content[at : at + 64])) + content[at + 64 :]
    yield "empty", b""
    yield "noise", rng.randbytes(4000)
    yield "text", b"this is a text\n" * 40
    yield "zeros", bytes(20_000)
    yield "html", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
    yield "packed", gzip.compress(content)
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) show\nshowpage\n%%EOF\n"


def no_files(mark: Path) -> Iterator[tuple[str, Harm]]:
    """What can stand at a file's place and is none."""

    def anew(make: Harm) -> Harm:
        def harm(path: Path) -> None:
            path.unlink(missing_ok=True)
            make(path)

        return harm

    def listen(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name may have a hundred letters
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)

    def huge(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(1 << 40)

    yield "pipe", anew(os.mkfifo)
    yield "folder", anew(Path.mkdir)
    yield "endless device", anew(lambda path: path.symlink_to("/dev/zero"))
    yield "link to itself", anew(lambda path: path.symlink_to(path.name))
    yield "link to nothing", anew(lambda path: path.symlink_to("nothing"))
    yield "socket", anew(listen)
    yield "terabyte of holes", anew(huge)
    yield "pickle", lambda path: (path.unlink(missing_ok=True), path.write_bytes(runs(mark)))[0]


def write_parquet(path: Path, image: Any, label: Any, metadata: bytes | None = None) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"image": image, "label": label})
    if metadata is not None:
        table = table.replace_schema_metadata({b"huggingface": metadata})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=4)


def class_metadata(names: Any) -> bytes:
    return json.dumps({"info": {"features": {"label": {"names": names}}}}).encode()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
