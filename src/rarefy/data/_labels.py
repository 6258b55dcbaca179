"""Numbers the labels of data that people bring: any integers or names become classes 0, 1, 2, ..."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy

from rarefy.data._errors import CorruptData
from rarefy.data._files import show_path

_LOG = logging.getLogger("rarefy")
_SHOWN = 5
_MOST_CLASSES = 1 << 24


def number_labels(
    labels: Mapping[str, numpy.ndarray], place: str, class_names: Sequence[str] = ()
) -> tuple[dict[str, numpy.ndarray], tuple[str, ...]]:
    """Numbers labels by the order of the distinct ones in the training split.

    Args:
        labels: Split to its labels, integers or text [N]; ``train`` is one of them.
        place: Where they come from, for messages.
        class_names: Names of the classes, where the data have them: labels are then positions in this list.

    Returns:
        Split to int64 labels from 0, and a name for each class; no names where labels are 0, 1, 2, ... already.

    Raises:
        CorruptData: If labels are of another kind, there is only one class, or a split has a class that is not trained.

    Example:
        >>> number_labels({"train": numpy.array(["dog", "cat", "dog"])}, "pets.npz")
        ({'train': array([1, 0, 1])}, ('cat', 'dog'))
    """
    flat = {split: _flatten(values, f"{place}: labels of {split}") for split, values in labels.items()}
    if class_names:
        _require_positions(flat, class_names, place)
        numbered, names = flat, tuple(map(str, class_names))
    else:
        numbered, names = _number(flat, place)
    if len(names) < 2 or len(numpy.unique(numbered["train"])) < 2:
        raise CorruptData(
            f"{place} has training labels of one class only ({names[int(numbered['train'][0])]!r}); there is nothing "
            "to tell apart. Bring images of two classes or more."
        )
    is_plain = not class_names and names == tuple(map(str, range(len(names))))
    return {split: values.astype(numpy.int64) for split, values in numbered.items()}, () if is_plain else names


def _flatten(values: numpy.ndarray, what: str) -> numpy.ndarray:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        hint = " One-hot labels become numbers with labels.argmax(1)." if values.ndim == 2 else ""
        raise CorruptData(f"{what} have the shape {list(values.shape)}; they are one number or name an image.{hint}")
    if not len(values):
        raise CorruptData(f"{what}: there are none. Every split needs at least one image.")
    if values.dtype.kind == "f" and numpy.isfinite(values).all() and (values == values.round()).all():
        values = values.astype(numpy.int64)
    if values.dtype.kind == "b":
        values = values.astype(numpy.int64)
    if values.dtype.kind not in "iuU":
        raise CorruptData(
            f"{what} are {values.dtype}, such as {values[0]!r}; classes are integers or names. Numbers to be predicted "
            "(regression) are no classes."
        )
    return values


def _number(labels: Mapping[str, numpy.ndarray], place: str) -> tuple[dict[str, numpy.ndarray], tuple[str, ...]]:
    known = numpy.unique(labels["train"])
    names = tuple(show_path(str(value)) for value in known)
    for split, values in labels.items():
        odd = numpy.setdiff1d(values, known) if values.dtype.kind == known.dtype.kind else numpy.unique(values)
        if len(odd):
            raise CorruptData(
                f"{place} has the class {str(odd[0])!r} in {split} and not in train, which has {_list(names)}. A "
                "network cannot learn a class that it is never shown."
            )
    if known.dtype.kind != "U" and (known != numpy.arange(len(known))).any():
        _LOG.warning(
            "%s: the labels are %s; they become the classes 0 to %d in this order, and keep their values as names",
            *(place, _list(names), len(names) - 1),
        )
    return {split: numpy.searchsorted(known, values) for split, values in labels.items()}, names


def _require_positions(labels: Mapping[str, numpy.ndarray], class_names: Sequence[str], place: str) -> None:
    for split, values in labels.items():
        if values.dtype.kind == "U":
            raise CorruptData(f"{place} has labels that are names and a list of names; bring one of them.")
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= min(len(class_names), _MOST_CLASSES):
            raise CorruptData(
                f"{place} names {len(class_names)} classes, so that labels are 0 to {len(class_names) - 1}; those of "
                f"{split} are {low} to {high}."
            )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... {names[-1]} ({len(names)} in all)" if len(names) > _SHOWN else "")
