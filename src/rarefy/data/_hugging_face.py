"""Tables that Hugging Face datasets saved: found, read with pyarrow, and their pictures as a store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rarefy.data._decode import MOST_BYTES
from rarefy.data._errors import BadPicture, CorruptData, MissingData
from rarefy.data._files import open_file, show_path
from rarefy.errors import MissingPackage
from rarefy.installation import import_extra

_SPLIT = re.compile(r"(?:^|[^a-z])(train|validation|valid|val|dev|test)(?![a-z])")
_NEEDED_BY = "A data set of arrow or parquet files"
_MOST_BYTES = 1 << 33  # of encoded pictures that are kept in memory


@dataclasses.dataclass(frozen=True, eq=False)
class TableStore:
    """Encoded pictures in a column of a table, in memory or mapped from a file.

    Args:
        column: The pictures: a `pyarrow.ChunkedArray` of bytes, or of structs with ``bytes``.
        labels: int64 [N].
        class_names: A name for each label.
        source: Where the table is, for messages.
        left_out: Nothing: a row is a picture.
    """

    column: Any
    labels: Tensor
    class_names: tuple[str, ...]
    source: str
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def key(self, number: int) -> str:
        """Hash of the picture: rows have no names."""
        try:
            return hashlib.blake2b(self.read(number), digest_size=16).hexdigest()
        except BadPicture:
            return f"row {number}"

    def place(self, number: int) -> str:
        """The table and the row in it."""
        return f"{self.source} (row {number})"

    def read(self, number: int) -> bytes:
        """The picture's bytes; raises BadPicture for a row that has none."""
        image = self.column[number].as_py()
        content = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(content, bytes):
            raise BadPicture("the row has no bytes of a picture")
        if len(content) > MOST_BYTES:
            raise BadPicture(f"it has {len(content):,} bytes; at most {MOST_BYTES:,} are read")
        return content


def find_tables(place: Path) -> dict[str, list[Path]]:
    """Finds the files of each split, arrow or parquet, by the names of files and folders; ``""``: of no split.

    Raises:
        MissingData: If there are none.
        CorruptData: If a split's files lie in several folders.
    """
    shown = show_path(place)
    if not place.is_dir():
        raise CorruptData(f"{shown} is a file; hf:DIR is the folder that datasets saved.", path=place)
    files = sorted([*place.rglob("*.parquet"), *place.rglob("data-*.arrow"), *place.rglob("dataset.arrow")])
    splits: dict[str, list[Path]] = {}
    for file in files:
        parts = file.relative_to(place).with_suffix("").parts
        named = [match[1] for part in reversed(parts) if (match := _SPLIT.search(part.lower()))]
        splits.setdefault(named[0] if named else "", []).append(file)
    if not files:
        raise MissingData(
            f"{shown} holds no table: neither data-*.arrow, which save_to_disk writes, nor *.parquet, which "
            "to_parquet(DIR/train.parquet) writes and the hub has.",
            path=place,
        )
    for split, found in splits.items():
        if len(folders := {file.parent for file in found}) > 1:
            raise CorruptData(
                f"{shown} holds several data sets: files {f'of {split} ' if split else ''}are in "
                f"{', '.join(sorted(map(show_path, folders))[:3])}. Name one of the folders.",
                path=place,
            )
    return splits


def read_tables(files: list[Path]) -> Any:
    """Reads files of one kind as one `pyarrow.Table`; arrow files are mapped and not read.

    Raises:
        CorruptData: If a file is damaged, or parquet files are too large to be kept in memory.
    """
    pyarrow = import_extra("pyarrow", "parquet", needed_by=_NEEDED_BY)
    for file in files:
        open_file(file).close()  # a pipe is named, and not waited for
    size = sum(file.stat().st_size for file in files if file.suffix == ".parquet")
    if size > _MOST_BYTES:
        raise CorruptData(
            f"The files of {show_path(files[0].parent)} have {size / 2**30:.0f} GiB, which are not kept in memory. "
            "Save the data set with save_to_disk, whose files are read in place."
        )
    try:
        return pyarrow.concat_tables([_read_table(pyarrow, file) for file in files])
    except (MemoryError, MissingPackage):
        raise
    except Exception as error:  # pyarrow's errors have no common class
        raise CorruptData(
            f"{show_path(files[0])} and its neighbours cannot be read: {error}.", path=files[0]
        ) from error


def read_features(table: Any, source: str) -> Mapping[str, Any]:
    """Reads the features that datasets wrote into the table's metadata; none if others wrote the table."""
    text = (table.schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(text).get("info", {}).get("features", {})
        return {name: value for name, value in features.items() if isinstance(value, dict)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise CorruptData(f"{source}: its Hugging Face metadata cannot be read: {error}.") from error


def _read_table(pyarrow: Any, file: Path) -> Any:
    if file.suffix == ".parquet":
        return import_extra("pyarrow.parquet", "parquet", needed_by=_NEEDED_BY).read_table(
            file, page_checksum_verification=True
        )
    return pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
