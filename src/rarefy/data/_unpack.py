"""Conversion of parquet files to tar shards, which allow fast random access."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from rarefy.data._errors import BadPicture, CorruptData, MissingData
from rarefy.data._parquet import ParquetStore
from rarefy.data._shards import CLASSES
from rarefy.errors import InvalidInput
from rarefy.paths import replace_file

_PARTS = {"train": ("train",), "val": ("val", "validation")}
_AROUND = 4 * 512  # bytes of a tar file per picture, besides its own: two headers, its class, padding


def unpack_parquet(
    folder: Path, out: Path, *, progress: Callable[[Path, int, int], None] = lambda file, done, of: None
) -> int:
    """Writes the pictures of parquet files into tar shards: the same names, order and splits, and so the same runs.

    One shard per file; existing shards are kept, so that an interrupted conversion continues.

    Args:
        folder: Where ``[data/]train-*.parquet`` and ``[data/]validation-*.parquet`` are.
        out: Where ``train/*.tar`` and ``val/*.tar`` go.
        progress: Called with each new shard, the number of shards done, and of all.

    Returns:
        Number of shards in all.

    Raises:
        MissingData: If there are no such files.
        CorruptData: If a row has no picture; names it. Shards written before stay.
        ValueError: If the disk has too little space; nothing is written then.

    Example:
        >>> unpack_parquet(Path("nowhere"), Path("shards"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.data._errors.MissingData: nowhere has no [data/]train*.parquet. ...
    """
    stores = {part: _open_parquet(Path(folder), names) for part, names in _PARTS.items()}
    wanted = [
        (store, n, out / part / f"{file.stem}.tar")
        for part, store in stores.items()
        for n, file in enumerate(store.files)
    ]
    missing = [(store, number, target) for store, number, target in wanted if not target.is_file()]
    out.mkdir(parents=True, exist_ok=True)
    _require_space(out, sum(store.files[n].stat().st_size + _AROUND * len(store.rows(n)) for store, n, _ in missing))
    names = stores["train"].class_names
    if names:
        (out / CLASSES).write_text("\n".join(names) + "\n", encoding="utf-8")
    for done, (store, number, target) in enumerate(missing, start=1 + len(wanted) - len(missing)):
        _write(store, number, target)
        progress(target, done, len(wanted))
    return len(wanted)


def _open_parquet(folder: Path, names: tuple[str, ...]) -> ParquetStore:
    for name in names:
        store = ParquetStore.open(folder, name)
        if store is not None:
            return store
    raise MissingData(
        f"{folder} has no [data/]{names[-1]}*.parquet. Name the folder of a data set that was downloaded as parquet."
    )


def _require_space(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if needed > free:
        raise InvalidInput(
            f"{out.absolute()} has {free / 1e9:.1f} GB free, and the shards take {needed / 1e9:.1f} GB. "
            "Make room, or name a folder on another disk."
        )


def _write(store: ParquetStore, number: int, target: Path) -> None:
    """Writes the pictures of one file, each followed by its class, as WebDataset does."""
    with replace_file(target) as partial, tarfile.open(partial, "w") as shard:
        for row in store.rows(number):
            picture, key = _read_picture(store, row), store.key(row)
            _add(shard, f"{key}.{'jpg' if picture.startswith(bytes([0xFF, 0xD8])) else 'png'}", picture)
            _add(shard, f"{key}.cls", str(int(store.labels[row])).encode())


def _read_picture(store: ParquetStore, row: int) -> bytes:
    try:
        return store.read(row)
    except BadPicture as error:
        raise CorruptData(f"{store.place(row)}: {error}. Nothing of this file was written.") from error


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))
