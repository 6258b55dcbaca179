"""A table of yours, one row per example: ``csv:FILE``."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy

from rarefy.data._divide import Part
from rarefy.data._errors import CorruptData
from rarefy.data._files import read_file, show_path
from rarefy.data._labels import number_labels
from rarefy.data._load import DATASETS
from rarefy.data._own import OwnDataset

_MOST_BYTES = 1 << 32
_LABEL_NAMES = ("label", "labels", "class", "target", "y")
_SPLIT_NAME = "split"
_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_SHOWN = 8


@DATASETS.register("csv")
@dataclasses.dataclass(frozen=True)
class Csv(OwnDataset):
    r"""A table with a line of column names, numbers, and a column of classes; take a multilayer perceptron for it.

    A row becomes an image of one pixel with as many channels as there are columns, each normalised to mean 0 and
    deviation 1 over the training rows. A column ``split`` (train, val or test) says which rows are held out; without it
    rows are held out by the hashes of their contents.

    Args:
        label: Column of the classes, integers or names; empty: the one called label, class, target or y.
        drop: Columns to leave out, such as text and numbers of rows.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / "flowers.csv"
        >>> _ = file.write_text("width,height,class\n" + "".join(f"{n},{n % 7},{'ab'[n % 2]}\n" for n in range(20)))
        >>> splits = Csv(str(file))(Path("unused"), torch.Generator())
        >>> splits.train.images.shape, splits.spec.class_names
        (torch.Size([16, 2, 1, 1]), ('a', 'b'))
    """

    label: str = ""
    drop: tuple[str, ...] = ()

    form: ClassVar[str] = "csv:FILE"
    title: ClassVar[str] = "The table"

    def read(self, place: Path) -> tuple[Mapping[str, Part], tuple[str, ...]]:
        """Reads the table."""
        shown = show_path(place)
        columns, rows = _read_rows(place)
        label = self._find_label(columns, shown)
        if unknown := sorted(set(self.drop) - set(columns)):
            raise CorruptData(f"{shown} has no column {unknown[0]!r} to drop. Its columns: {_list(columns)}.")
        features = [name for name in columns if name not in (label, _SPLIT_NAME, *self.drop)]
        if not features:
            raise CorruptData(
                f"{shown} has no column but that of the classes ({label!r}); there is nothing to learn from."
            )
        values = _read_numbers(shown, rows, columns, features)
        classes = _read_classes(shown, rows, columns.index(label), label)
        splits = _read_splits(shown, rows, columns)
        labels, names = number_labels({split: classes[at] for split, at in splits.items()}, shown)
        parts = {s: Part.from_arrays(values[at][:, :, None, None], labels[s]) for s, at in splits.items()}
        return {s: dataclasses.replace(part, columns=tuple(features)) for s, part in parts.items()}, names

    def _find_label(self, columns: Sequence[str], shown: str) -> str:
        wanted = (self.label,) if self.label else _LABEL_NAMES
        found = [name for name in columns if name in wanted] or [name for name in columns if name.lower() in wanted]
        if len(found) != 1:
            count = len(found) or "no"
            said = f"no column {self.label!r}" if self.label else f"{count} columns called label, class, target or y"
            raise CorruptData(
                f"{shown} has {said}. Its columns: {_list(columns)}. Name that of the classes: --set data.label=NAME"
            )
        return found[0]


def read_columns(place: Path, names: Sequence[str]) -> numpy.ndarray:
    r"""Reads some columns of numbers of a table.

    Args:
        place: The file.
        names: The columns; others are not looked at.

    Returns:
        float32 [N, columns].

    Raises:
        MissingData: If there is no such file.
        CorruptData: If it is not a table, lacks a column, or one holds anything but numbers.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "flowers.csv"
        >>> _ = file.write_text("height,town,width\n3,Rome,1.5\n")
        >>> read_columns(file, ["width", "height"])
        array([[1.5, 3. ]], dtype=float32)
    """
    shown = show_path(place)
    columns, rows = _read_rows(place)
    if missing := [name for name in names if name not in columns]:
        raise CorruptData(
            f"{shown} has no column {missing[0]!r}. The network reads {_list(names)}; its columns are "
            f"{_list(columns)}.",
            path=place,
        )
    return _read_numbers(shown, rows, columns, list(names))


def _read_rows(place: Path) -> tuple[list[str], list[list[str]]]:
    """Reads the column names and the other lines; the separator is a comma, semicolon or tab."""
    shown = show_path(place)
    try:
        text = read_file(place, _MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptData(f"{shown} is no text in UTF-8: {error}.", path=place) from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if line]
    except csv.Error as error:
        raise CorruptData(f"{shown} is no table: {error}.", path=place) from error
    columns = [name.strip() for name in lines[0]] if lines else []
    if len(columns) < 2 or len(lines) < 2:
        raise CorruptData(
            f"{shown} has {len(columns)} columns and {max(0, len(lines) - 1)} rows. It needs a line of column names, "
            "separated by commas, semicolons or tabs, and a line per example.",
            path=place,
        )
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise CorruptData(f"{shown} has two columns {twice!r}; give each its own name.", path=place)
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(columns):
            raise CorruptData(
                f"Row {number} of {shown} has {len(line)} values, the line of column names {len(columns)}.", path=place
            )
    return columns, lines[1:]


def _read_numbers(shown: str, rows: list[list[str]], columns: list[str], features: list[str]) -> numpy.ndarray:
    """Reads the columns of numbers, float32 [N, F]; raises CorruptData for text and for values that are missing."""
    values = numpy.empty((len(rows), len(features)), numpy.float32)
    for column, name in enumerate(features):
        texts = [line[columns.index(name)] for line in rows]
        try:
            with numpy.errstate(over="ignore"):  # told below
                values[:, column] = numpy.array(texts, dtype=numpy.float64)
        except ValueError:
            row = next(row for row, text in enumerate(texts) if not _is_number(text))
            what = f"{texts[row]!r}, which is no number" if texts[row].strip() else "no value"
            raise CorruptData(
                f"Column {name!r} of {shown} has {what}, in row {row + 1}. A network reads numbers: code the column as "
                f"numbers, fill what is missing, or leave it out: --set 'data.drop=[{name}]'"
            ) from None
    if not numpy.isfinite(values).all():
        row, column = numpy.argwhere(~numpy.isfinite(values))[0]
        raise CorruptData(
            f"Column {features[column]!r} of {shown} has {rows[row][columns.index(features[column])]!r} in row "
            f"{row + 1}; numbers are finite, and below 3e38."
        )
    return values


def _is_number(text: str) -> bool:
    try:
        return bool(float(text)) or True
    except ValueError:
        return False


def _read_classes(shown: str, rows: list[list[str]], at: int, name: str) -> numpy.ndarray:
    """Reads the column of classes: integers if all of them are, else text."""
    texts = [line[at].strip() for line in rows]
    if "" in texts:
        raise CorruptData(f"Column {name!r} of {shown} has no class in row {texts.index('') + 1}.")
    try:
        return numpy.array([int(text) for text in texts], numpy.int64)
    except (ValueError, OverflowError):
        return numpy.array(texts)


def _read_splits(shown: str, rows: list[list[str]], columns: list[str]) -> dict[str, numpy.ndarray]:
    """Reads which rows each split has; without a column that says so all are training rows."""
    if _SPLIT_NAME not in columns:
        return {"train": numpy.arange(len(rows))}
    texts = [line[columns.index(_SPLIT_NAME)].strip().lower() for line in rows]
    if unknown := sorted(set(texts) - set(_SPLITS)):
        raise CorruptData(f"Column 'split' of {shown} has {unknown[0]!r}; it says train, val or test.")
    splits = numpy.array([_SPLITS[text] for text in texts])
    if "train" not in splits:
        raise CorruptData(f"Column 'split' of {shown} names no row for train.")
    return {split: numpy.flatnonzero(splits == split) for split in ("train", "validation", "test") if split in splits}


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")
