"""One parquet file, read with pyarrow and without trusting it."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from rarefy.data._errors import BadPicture, CorruptData
from rarefy.data._files import open_file, show_path
from rarefy.errors import MissingPackage
from rarefy.installation import import_extra

_GROUP_BYTES = 1 << 31
_MOST_LABEL = 1 << 31


def read_labels(file: Path) -> tuple[list[int], numpy.ndarray]:
    """Rows of each row group, and all labels, int64.

    Raises:
        CorruptData: If the file is damaged, has not the two columns, or labels that are no classes.
    """
    open_file(file).close()  # a pipe is named, and not waited for
    with _explaining(file):
        parquet = _open(file)
        _check_columns(file, parquet)
        column = parquet.read(columns=["label"], use_threads=False).column("label")
        if column.null_count:
            raise CorruptData(f"{show_path(file)} has {column.null_count:,} rows without a label.", path=file)
        labels = column.to_numpy()
        sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
    if sum(sizes) != len(labels) or min(sizes, default=0) < 0:
        raise CorruptData(
            f"{show_path(file)} has {len(labels):,} labels, and its row groups claim {sum(sizes):,} rows.", path=file
        )
    if labels.min(initial=0) < 0:
        raise CorruptData(
            f"{show_path(file)} has labels below 0, which stand for none: take a split that is labelled.", path=file
        )
    if labels.max(initial=0) >= _MOST_LABEL:
        raise CorruptData(f"{show_path(file)} has the label {labels.max()}, which is no number of a class.", path=file)
    return sizes, labels.astype(numpy.int64)


def read_class_names(file: Path) -> tuple[str, ...]:
    """Names of the classes in the file's Hugging Face metadata; none if they are not there."""
    with _explaining(file):
        text = (_open(file).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(text).get("info", {}).get("features", {}).get("label", {}).get("names", [])
    except (ValueError, AttributeError, RecursionError) as error:
        raise CorruptData(
            f"{show_path(file)}: its Hugging Face metadata cannot be read: {error}.", path=file
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptData(f"{show_path(file)}: its Hugging Face metadata has no list of names of classes.", path=file)
    return tuple(names)


def read_column(file: Path, group: int) -> Any:
    """A row group's column of pictures; raises BadPicture if it does not unpack, MissingData if it is gone."""
    open_file(file).close()
    try:
        return _open(file).read_row_group(group, columns=["image"], use_threads=False).column("image")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pyarrow's errors have no common class
        raise BadPicture(f"row group {group} does not unpack: {_first_line(error)}") from error


def _open(file: Path) -> Any:
    """A `pyarrow.parquet.ParquetFile` whose checksums, where there are any, are compared."""
    parquet = import_extra("pyarrow.parquet", "parquet", needed_by="A parquet file")
    return parquet.ParquetFile(file, page_checksum_verification=True)


def _check_columns(file: Path, parquet: Any) -> None:
    """Refuses columns that hold no pictures and classes, and more rows than a file can have."""
    types = importlib.import_module("pyarrow.types")
    shown, schema = show_path(file), parquet.schema_arrow
    image, label = schema.field("image").type, schema.field("label").type
    content = image.field("bytes").type if types.is_struct(image) else image
    if not (types.is_binary(content) or types.is_large_binary(content)):
        raise CorruptData(
            f"{shown}: the column image is {image}; pictures are binary, or a struct with binary `bytes`.", path=file
        )
    if not types.is_integer(label):
        raise CorruptData(f"{shown}: the column label is {label}; classes are integers.", path=file)
    metadata, size = parquet.metadata, file.stat().st_size
    if metadata.num_rows > size:
        raise CorruptData(f"{shown} claims {metadata.num_rows:,} pictures in {size:,} bytes.", path=file)
    for group in range(metadata.num_row_groups):
        claimed = metadata.row_group(group).total_byte_size
        if not 0 <= claimed <= _GROUP_BYTES:
            raise CorruptData(
                f"{shown}: row group {group} claims {claimed:,} bytes; at most {_GROUP_BYTES:,} are read at once. "
                "Write the file with smaller row groups.",
                path=file,
            )


@contextlib.contextmanager
def _explaining(file: Path) -> Iterator[None]:
    try:
        yield
    except (CorruptData, MissingPackage, MemoryError):
        raise
    except Exception as error:  # pyarrow's errors have no common class
        raise CorruptData(
            f"{show_path(file)} is no parquet file with the columns image and label: {_first_line(error)}.", path=file
        ) from error


def _first_line(error: Exception) -> str:
    return show_path(str(error).split("\n")[0] or type(error).__name__)
