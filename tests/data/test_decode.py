"""The one decoder of pictures: which formats, how many bits, how large, and nothing else."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rarefy.data import ENDINGS, BadPicture, CorruptData, read_picture
from rarefy.data._decode import MOST_PIXELS, decode_picture

GREYS = np.array([[0, 255, 256, 257], [4095, 0x8000, 0xFEFF, 0xFFFF]], dtype=np.uint16)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, rows: bytes, colour: int = 0) -> bytes:
    """A PNG written by hand, whatever it claims."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def grey_png() -> bytes:
    return png(4, 2, 16, b"".join(b"\0" + row.astype(">u2").tobytes() for row in GREYS))


def tiff(order: str, tags: dict[int, int], content: bytes) -> bytes:
    """A TIFF written by hand: a directory, and behind it the pixels, at the place that tag 273 or 324 names."""
    place = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    end = len(place) + 12 * len(tags) + 4
    values = {tag: end if tag in (273, 324) else value for tag, value in sorted(tags.items())}
    rows = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in values.items()]
    return place + b"".join(rows) + bytes(4) + content


def grey_tiff(order: str) -> bytes:
    size = {256: 4, 257: 2, 258: 16, 259: 1, 262: 1, 273: 0, 277: 1, 278: 2, 279: 16}
    return tiff(order, size, GREYS.astype(f"{order}u2").tobytes())


def grey_pgm() -> bytes:
    return b"P5 4 2 65535\n" + GREYS.astype(">u2").tobytes()


@pytest.mark.parametrize("encoded", [grey_png(), grey_tiff("<"), grey_tiff(">"), grey_pgm()], ids=len)
def test_sixteen_bits_of_grey_are_their_upper_eight(encoded: bytes, tmp_path: Path) -> None:
    (tmp_path / "grey").write_bytes(encoded)
    pixels = read_picture(tmp_path / "grey")
    assert pixels.tolist() == [(GREYS // 256).tolist()] * 3


def test_sixteen_bits_of_grey_and_of_colour_are_alike() -> None:
    triples = np.repeat(GREYS[..., None], 3, axis=2).astype(">u2")
    colour = png(4, 2, 16, b"".join(b"\0" + row.tobytes() for row in triples), colour=2)
    assert np.array_equal(np.asarray(decode_picture(colour)), np.asarray(decode_picture(grey_png())))


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_in_the_list_is_decoded(ending: str, tmp_path: Path) -> None:
    kind = {".jpe": "JPEG", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM"}.get(ending) or Image.registered_extensions()[
        ending
    ]
    Image.new("RGB", (6, 4), (200, 200, 200)).save(tmp_path / f"a{ending}", kind)
    assert (read_picture(tmp_path / f"a{ending}").int() - 200).abs().max() <= 2


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_white_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(CorruptData, match=r"a\.tif.* 8 or 16 bits") as caught:
        read_picture(tmp_path / "a.tif")
    assert caught.value.path == tmp_path / "a.tif"


def test_postscript_in_a_jpg_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    for name in ("gs", "gswin64c"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {started}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(CorruptData, match=r"a\.jpg: no known image format"):
        read_picture(path)
    assert not started.exists()


def tiled(width: int, height: int) -> bytes:
    """A TIFF of 16 x 16 pixels in one tile of another size."""
    size = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: width, 323: height, 324: 0, 325: 300}
    return tiff("<", size, zlib.compress(bytes(300)).ljust(300))


@pytest.mark.parametrize(
    "encoded",
    [png(13_000, 13_000, 8, b"\0" * 100), png(30_000, 30_000, 1, b""), b"P6 13000 13000 255\n", tiled(60_000, 60_000)],
    ids=["png", "larger png", "ppm", "tiff tile"],
)
def test_a_picture_that_claims_too_much_is_refused_before_it_is_decoded(encoded: bytes) -> None:
    with pytest.raises(BadPicture, match=f"at most {MOST_PIXELS:,}|exceeds limit"):
        decode_picture(encoded)


def broken(encoded: bytes) -> Callable[[np.random.Generator], bytes]:
    def harm(rng: np.random.Generator) -> bytes:
        changed = bytearray(encoded[: int(rng.integers(1, len(encoded) + 1))])
        for place in rng.integers(0, len(changed), 3):
            changed[place] ^= 1 << int(rng.integers(8))
        return bytes(changed)

    return harm


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_a_damaged_picture_is_a_picture_or_a_bad_one(kind: str) -> None:
    file = io.BytesIO()
    Image.effect_noise((23, 17), 60).convert("RGB").save(file, kind)
    rng = np.random.default_rng(5)
    for _ in range(40):
        try:
            assert decode_picture(broken(file.getvalue())(rng)).mode == "RGB"
        except BadPicture as error:
            assert str(error)


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(CorruptData, match=r"a\.png is a pipe"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "b.png")
