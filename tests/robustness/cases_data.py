"""Hostile files for every loader of data: each case is a good data set, and one thing done to it."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from files_data import (
    KINDS,
    Harm,
    class_metadata,
    damage,
    no_files,
    npz,
    npz_of,
    picture,
    png_claim,
    runs,
    samples,
    tar,
    write_parquet,
)

LABELS = [b"0", b"0", b"0", b"1", b"1", b"1"]
ROWS = [0, 0, 0, 1, 1, 1]


@dataclasses.dataclass(frozen=True)
class Case:
    """One hostile file.

    Args:
        loader: What reads it.
        name: What was done.
        harm: Does it to the file.
        file: Below the data set's folder.
        kind: Of a picture.
        must_fail: Whether it cannot pass for a good one.
    """

    loader: str
    name: str
    harm: Harm
    file: str
    kind: str = "png"
    must_fail: bool = False

    @property
    def id(self) -> str:
        return f"{self.loader}: {self.file}: {self.name}"


def write(content: bytes) -> Harm:
    return lambda path: (path.unlink(missing_ok=True), path.write_bytes(content))[0]


# --- good data sets --------------------------------------------------------------------------------------------------


def make_folders(folder: Path, kind: str) -> None:
    for part in ("train", "val"):
        for label in (0, 1):
            for number in range(3):
                path = folder / part / f"c{label}" / f"{number}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(KINDS[kind], number + 10 * label))


def make_shards(folder: Path, kind: str) -> None:
    for part in ("train", "val"):
        (folder / part).mkdir(parents=True)
        (folder / part / "0.tar").write_bytes(tar(samples(LABELS)))
    (folder / "classes.txt").write_text("cat\ndog\n")


def make_parquet(folder: Path, kind: str) -> None:
    rows = [{"bytes": picture("PNG", number), "path": None} for number in range(6)]
    for part in ("train", "validation"):
        write_parquet(folder / f"data/{part}-00000-of-00001.parquet", rows, ROWS, class_metadata(["cat", "dog"]))


def make_others(folder: Path, kind: str) -> None:
    (folder / "others/deep").mkdir(parents=True)
    for number in range(4):
        (folder / "others/deep" / f"{number}.{kind}").write_bytes(picture(KINDS[kind], number))


def make_npz(folder: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.npz").write_bytes(npz(x=pixels))


# --- what is done to them --------------------------------------------------------------------------------------------


def all_cases(mark: Path, seed: int = 0) -> list[Case]:
    rng = random.Random(seed)
    families: list[Callable[[Path, random.Random], Iterator[Case]]] = [
        pictures,
        shards,
        parquets,
        arrays,
        archives,
        kept,
    ]
    return [case for family in families for case in family(mark, rng)]


def pictures(mark: Path, rng: random.Random) -> Iterator[Case]:
    for loader, place, count in (("folders", "train/c1/1", 12), ("others", "others/deep/2", 6)):
        for kind in KINDS:
            for name, content in damage(picture(KINDS[kind], 11), rng, count, 2 * count):
                yield Case(loader, name, write(content), f"{place}.{kind}", kind)
        file = f"{place}.png"
        for name, harm in no_files(mark):
            yield Case(loader, name, harm, file)
        for size in (13_000, 20_000, 60_000, 2_000_000_000):
            yield Case(loader, f"{size} pixels wide", claim_pixels(size), file, must_fail=True)
        for name, make in odd_pictures():
            yield Case(loader, name, make, file)
        for name in (b"\xff\xfe.png", b"\x1b[31m.png", b"a\nb.png", b"._1.png", b".hidden.png", "ü\u202e.png".encode()):
            yield Case(loader, f"a neighbour {name!r}", beside(name), file)
        yield Case(loader, "deep folders", bury, file)
        yield Case(loader, "a loop of links", lambda path: (path.parent / "loop").symlink_to(path.parent.parent), file)


def claim_pixels(size: int) -> Harm:
    return lambda path: write(b"P6 2000000000 9 255\n" if size > 10**9 else png_claim(size, size))(path)


def odd_pictures() -> Iterator[tuple[str, Harm]]:
    from PIL import Image

    def save(mode: str, kind: str) -> Harm:
        def harm(path: Path) -> None:
            file = io.BytesIO()
            Image.new(mode, (20, 24)).save(file, kind)
            path.write_bytes(file.getvalue())

        return harm

    for mode, kind in (("I", "TIFF"), ("F", "TIFF"), ("I;16", "PNG"), ("1", "PNG"), ("P", "PNG"), ("CMYK", "JPEG")):
        yield f"{mode} as {kind}", save(mode, kind)
    for kind in ("ICO", "PCX", "TGA", "SGI", "DDS", "JPEG2000"):
        yield f"a picture of kind {kind}", save("RGBA" if kind == "ICO" else "RGB", kind)


def beside(name: bytes) -> Harm:
    def harm(path: Path) -> None:
        content = path.read_bytes() if not name.startswith(b".") else b"\0\5\x16\7 macOS"
        Path(os.fsdecode(os.fsencode(path.parent) + b"/" + name)).write_bytes(content)

    return harm


def bury(path: Path) -> None:
    """A picture a thousand folders deep; the whole path has fewer letters than the system allows."""
    place = path.parent
    for _ in range(1100):
        place = place / "d"
        place.mkdir()


def shards(mark: Path, rng: random.Random) -> Iterator[Case]:
    file, good = "train/0.tar", samples(LABELS)
    whole = tar(good)
    members = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for end in [*(rng.randrange(members) for _ in range(30)), *range(0, members, 512 * max(1, members // 512 // 30))]:
        yield Case("shards", f"cut at {end}", write(whole[:end]), file, must_fail=True)
    for name, content in damage(whole[:members], rng, 0, 60):
        yield Case("shards", name, write(content + bytes(10_240) if "at" in name else content), file)
    for name, harm in no_files(mark):
        yield Case("shards", name, harm, file, must_fail=True)
    for label in (b"-1", b"2000000000", b"1000000000000", b"9" * 30, b"9" * 5000, b"cat", b"", b"1.5", b"\xff", b"0x1"):
        yield Case("shards", f"label {label[:20]!r}", write(tar(good | {"s005.cls": label})), file, must_fail=True)
    yield Case("shards", "two of a key", write(tar(good | {"s005.jpg": b"x"})), file, must_fail=True)
    yield Case("shards", "joined", write(whole + whole), file, must_fail=True)
    holes = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "8000000000000"}
    yield Case("shards", "with holes", write(tar(good, pax_headers=holes)), file, must_fail=True)
    yield Case("shards", "long names", write(tar({f"{'n' * 9000}{name}": c for name, c in good.items()})), file)
    yield Case("shards", "many headers", write(tar(good, pax_headers={"x": "y" * 3_000_000})), file)
    yield Case("shards", "chain of headers", write(chain(3000) + whole), file, must_fail=True)
    yield Case("shards", "size below zero", write(claim_size(good, -512)), file, must_fail=True)
    yield Case("shards", "size of an exabyte", write(claim_size(good, 1 << 60)), file, must_fail=True)
    yield Case("shards", "links", write(tar(good, type=tarfile.SYMTYPE, linkname="/etc/passwd")), file, must_fail=True)
    yield Case("shards", "macOS", write(tar(good | {"._s000.png": b"x", "._s000.cls": b"x"})), file)
    yield Case("shards", "names that are not UTF-8", write(tar({f"\udcff{n}": c for n, c in good.items()})), file)
    yield Case("shards", "upwards", write(tar({f"../../{name}": c for name, c in good.items()})), file)
    for name, text in (
        ("mark", b"\xef\xbb\xbfcat\ndog\n"),
        ("no text", b"\xff\xfe"),
        ("one", b"cat"),
        ("many", b"x\n" * 99),
    ):
        yield Case("shards", f"classes, {name}", write(text), "classes.txt", must_fail=name in ("no text", "one"))
    for name, harm in no_files(mark):
        yield Case("shards", name, harm, "classes.txt")


def chain(length: int) -> bytes:
    """Headers of long names, each for the next."""
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 200
    return (entry.tobuf(tarfile.GNU_FORMAT) + b"n" * 199 + bytes(313)) * length


def claim_size(members: dict[str, bytes], size: int) -> bytes:
    whole = bytearray(tar(members))
    at = whole.index(b"s002.png")
    whole[at + 124 : at + 136] = (
        b"\x80\0\0\0" + size.to_bytes(8, "big") if size > 0 else b"\xff" * 4 + size.to_bytes(8, "big", signed=True)
    )
    whole[at + 148 : at + 156] = b" " * 8
    total = sum(whole[at : at + 512])
    whole[at + 148 : at + 156] = f"{total:06o}\0 ".encode()
    return bytes(whole)


def parquets(mark: Path, rng: random.Random) -> Iterator[Case]:
    file = "data/train-00000-of-00001.parquet"
    scratch = mark.parent / "scratch.parquet"
    rows = [{"bytes": picture("PNG", number), "path": None} for number in range(6)]
    write_parquet(scratch, rows, ROWS, class_metadata(["cat", "dog"]))
    for name, content in damage(scratch.read_bytes(), rng, 25, 60):
        yield Case("parquet", name, write(content), file)
    for name, harm in no_files(mark):
        yield Case("parquet", name, harm, file, must_fail=True)

    def table(image: object, label: object, metadata: bytes | None = class_metadata(["cat", "dog"])) -> Harm:
        return lambda path: write_parquet(path, image, label, metadata)

    for row in (None, {"bytes": None, "path": "a.png"}, {"bytes": b"", "path": None}, {"bytes": b"x", "path": None}):
        yield Case("parquet", f"row {row}", table([*rows[:5], row], ROWS), file, must_fail=True)
    yield Case("parquet", "paths", table(["a.png"] * 6, ROWS), file, must_fail=True)
    yield Case("parquet", "lists", table([[1, 2]] * 6, ROWS), file, must_fail=True)
    yield Case("parquet", "numbers", table([1.5] * 6, ROWS), file, must_fail=True)
    yield Case("parquet", "other fields", table([{"data": b"x"}] * 6, ROWS), file, must_fail=True)
    for label in (None, -1, 2_000_000_000, 10**12, 1.5, "cat", [1]):
        odd = [label] * 6 if isinstance(label, str | list) else [*ROWS[:5], label]
        yield Case("parquet", f"label {label!r}", table(rows, odd), file, must_fail=True)
    for text in (
        b"{",
        b"[" * 100_000,
        b"[1]",
        b"null",
        b"\xff",
        b'{"info": 3}',
        class_metadata("ab"),
        class_metadata([1]),
    ):
        yield Case("parquet", f"metadata {text[:20]!r}", table(rows, ROWS, text), file, must_fail=True)
    yield Case("parquet", "no rows", table(rows[:0], ROWS[:0]), file, must_fail=True)
    yield Case("parquet", "many rows", repeat, file, must_fail=True)


def repeat(path: Path) -> None:
    """Thirty million pictures in a file of some kilobytes."""
    import pyarrow

    count = 30_000_000
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(count, np.int8)), [b"x"])
    from pyarrow import parquet

    table = pyarrow.table({"image": same.cast(pyarrow.binary()), "label": np.zeros(count, np.int64)})
    parquet.write_table(table, path)


def arrays(mark: Path, rng: random.Random) -> Iterator[Case]:
    file = "a.npz"
    pixels = rng.randbytes(7 * 8 * 8 * 3)
    good = npz(x=np.frombuffer(pixels, np.uint8).reshape(7, 8, 8, 3))
    for name, content in damage(good, rng, 30, 60):
        yield Case("npz", name, write(content), file)
    for name, harm in no_files(mark):
        yield Case("npz", name, harm, file, must_fail=True)
    for name, array in {
        "objects": np.array([{}], dtype=object), "floats": np.zeros((2, 8, 8, 3)), "a number": np.uint8(1),
        "no images": np.zeros((0, 8, 8, 3), np.uint8), "no pixels": np.zeros((3, 0, 8, 3), np.uint8),
        "text": np.array(["a", "b"]), "five dimensions": np.zeros((2, 3, 4, 5, 6), np.uint8),
        "records": np.zeros(3, dtype=[("a", "u1")]), "four channels": np.zeros((2, 8, 8, 4), np.uint8),
    }.items():  # fmt: skip
        yield Case("npz", name, write(npz(x=array)), file, must_fail=True)
    yield Case("npz", "no arrays", write(npz()), file, must_fail=True)
    yield Case("npz", "two arrays", write(npz(x=np.uint8(1), y=np.uint8(1))), file, must_fail=True)

    def claim(shape: tuple[int, ...]) -> Harm:
        return npz_of({"descr": "|u1", "fortran_order": False, "shape": shape}, bytes(64))

    for shape in ((10**6, 1000, 1000), (2**40, 8, 8, 3), (-1, 8, 8, 3), (2**62, 2**62, 8)):
        yield Case("npz", f"claims {shape}", claim(shape), file, must_fail=True)
    header = {"descr": "|u1", "fortran_order": False, "shape": (1000, 1000, 1000, 1)}
    yield Case("npz", "a bomb", npz_of(header, bytes(10**6), 1000), file, must_fail=True)
    header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
    yield Case("npz", "objects that run", npz_of(header, runs(mark)), file, must_fail=True)


def archives(mark: Path, rng: random.Random) -> Iterator[Case]:
    for loader, file in (
        ("cifar10", "cifar-10-batches-py/data_batch_2"), ("cifar10", "cifar-10-batches-py/test_batch"),
        ("cifar100", "cifar-100-python/train"), ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("fashion_mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte"), ("svhn", "svhn/test_32x32.mat"),
    ):  # fmt: skip
        for name, content in damage(bytes(range(256)) * 8, rng, 4, 4):
            yield Case(loader, name, write(content), file, must_fail=True)
        for name, harm in no_files(mark):
            yield Case(loader, name, harm, file, must_fail=True)
        for name, content in damage(gzip.compress(rng.randbytes(3000)), rng, 4, 6):
            yield Case(loader, f"packed, {name}", instead(write(content)), f"{file}.gz", must_fail=True)
        yield Case(loader, "packed bomb", instead(bomb), f"{file}.gz", must_fail=True)


def instead(harm: Harm) -> Harm:
    """The packed file in the place of the one that is not."""

    def act(path: Path) -> None:
        path.with_suffix("").unlink()
        harm(path)

    return act


def bomb(path: Path) -> None:
    """Two gigabytes of zeros in some megabytes."""
    path.write_bytes(_part() * 32)


@functools.cache
def _part() -> bytes:
    return gzip.compress(bytes(1 << 26), 1)


def kept(mark: Path, rng: random.Random) -> Iterator[Case]:
    """The index of shards in the cache folder."""
    for name, content in damage(npz(letters=np.zeros(9, np.uint8), state=np.array("x")), rng, 10, 20):
        yield Case("kept", name, write(content), "cache/shards/*.npz")
    for name, harm in no_files(mark):
        if name not in ("folder",):
            yield Case("kept", name, harm, "cache/shards/*.npz")
    yield Case("kept", "objects", write(npz(state=np.array([{}], dtype=object))), "cache/shards/*.npz")
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**9,)}
    yield Case("kept", "a bomb", npz_of(header, bytes(10**6), 1000), "cache/shards/*.npz")
