"""One tar file of pictures and labels, listed without trusting it."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rarefy.data._decode import is_picture
from rarefy.data._errors import CorruptData
from rarefy.data._files import open_file, show_path
from rarefy.data._listing import is_hidden

_LABEL = "cls"
_LABEL_BYTES = 32
_MOST_LABEL = 1 << 31
_HEADER_BYTES = 1 << 14  # of a name, or of extended attributes; a header may claim any number
_END = 2 * tarfile.BLOCKSIZE  # a whole archive ends in so many zero bytes, and is filled up with more
_FILL = 1 << 24


@dataclasses.dataclass(frozen=True)
class ShardListing:
    """The samples of a tar file, in order.

    Args:
        keys: Their names.
        labels: Their classes.
        spans: First byte and number of bytes of each picture.
        left_out: Number of members of each kind that are neither picture nor label.
    """

    keys: list[str]
    labels: list[int]
    spans: list[tuple[int, int]]
    left_out: Counter[str]


class _Fault(Exception):
    """A fault of a shard, without its name."""


def list_shard(file: Path) -> ShardListing:
    """Lists a shard; raises CorruptData, naming it, for one that is cut short or odd in any other way."""
    pictures: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    left_out: Counter[str] = Counter()
    try:
        with open_file(file) as raw:
            for member in _list_members(raw):
                _sort_member(member, raw, pictures, labels, left_out)
        odd = sorted(pictures.keys() ^ labels.keys())
        if odd or not pictures:
            what = f"{odd[0]!r} has not both" if odd else "it holds none"
            raise _Fault(f"a sample is a picture, <key>.jpg, and its class, <key>.{_LABEL}; {what}")
    except CorruptData:
        raise
    except _Fault as error:
        raise CorruptData(f"{show_path(file)}: {show_path(str(error))}.", path=file) from error
    except Exception as error:  # a broken archive can raise anything
        what = show_path(str(error) or type(error).__name__)
        said = f"{show_path(file)} is no WebDataset shard (an uncompressed tar file): {what}."
        raise CorruptData(said, path=file) from error
    return ShardListing(list(pictures), [labels[key] for key in pictures], list(pictures.values()), left_out)


def _sort_member(
    member: tarfile.TarInfo,
    raw: BinaryIO,
    pictures: dict[str, tuple[int, int]],
    labels: dict[str, int],
    left_out: Counter[str],
) -> None:
    """Sorts a member into pictures, labels and others."""
    folder, slash, base = member.name.rpartition("/")
    stem, _, ending = base.partition(".")
    key = folder + slash + stem
    if member.isdir():
        return
    if is_hidden(base) or not member.isfile() or not (ending == _LABEL or is_picture("." + ending)):
        left_out["hidden" if is_hidden(base) else f".{ending.lower()}" if member.isfile() else "link or device"] += 1
        return
    if member.issparse():
        raise _Fault(f"{member.name!r} is stored with holes (GNU sparse), which are not read; pack it without --sparse")
    if key in (labels if ending == _LABEL else pictures):
        raise _Fault(f"{member.name!r}: there are two of {key!r}")
    if ending == _LABEL:
        labels[key] = _read_label(member, raw)
    else:
        pictures[key] = (member.offset_data, member.size)


def _read_label(member: tarfile.TarInfo, raw: BinaryIO) -> int:
    raw.seek(member.offset_data)
    text = raw.read(min(member.size, _LABEL_BYTES + 1)).strip()
    if not (text.isdigit() and len(text) <= _LABEL_BYTES and int(text) < _MOST_LABEL):
        raise _Fault(f"{member.name!r} is the number of a class, 0 or more; it holds {text!r}")
    return int(text)


def _list_members(raw: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Lists the members of a whole archive; raises _Fault for one that ends early or goes backwards."""
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    with tarfile.open(fileobj=_Guarded(raw), mode="r:") as shard:  # type: ignore[call-overload]
        last = -1
        while (member := shard.next()) is not None:
            if member.size < 0 or member.offset <= last or member.offset_data + member.size > size:
                raise _Fault(f"{member.name!r} claims {member.size:,} bytes at byte {member.offset_data:,}")
            last = member.offset
            yield member
            shard.members = []  # a million headers are not kept
        _require_end(raw, shard.offset, size)


def _require_end(raw: BinaryIO, at: int, size: int) -> None:
    """Checks that zeros, and nothing else, follow the last member."""
    raw.seek(at)
    rest = raw.read(min(size - at, _FILL + 1))
    if not rest.strip(b"\0") and len(rest) < _END:
        raise _Fault(f"it is cut short: it ends at byte {size:,} without the blocks that end an archive")
    if rest.strip(b"\0") or len(rest) > _FILL:
        raise _Fault(
            f"what follows byte {at:,} is no member of it: it is damaged, or several archives were joined, of which "
            "only the first would be read"
        )


class _Guarded:
    """A file that reads at most the size of a header at once, whatever a header claims.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Reads bytes; raises _Fault for more than a header has."""
        if not 0 <= size <= _HEADER_BYTES:
            raise _Fault(f"a header at byte {self._file.tell():,} claims {size:,} bytes")
        return self._file.read(size)
