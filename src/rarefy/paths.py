"""The only module that names a file of a run, and the one way in which such a file is written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rarefy.errors import RarefyError


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """Where the files of one run are.

    Args:
        folder: The run's own folder, ``<out>/<id>``.

    Example:
        >>> RunPaths(Path("runs") / "3f2a9c1b77de").record.as_posix()
        'runs/3f2a9c1b77de/record.json'
    """

    folder: Path

    @property
    def config(self) -> Path:
        """Every resolved value, as YAML; `rarefy train --config` reads it back."""
        return self.folder / "config.yaml"

    @property
    def record(self) -> Path:
        """The run's one JSON, written when it is complete."""
        return self.folder / "record.json"

    @property
    def damaged_record(self) -> Path:
        """A record that could not be read, set aside as the run went on."""
        return self.folder / "record.damaged.json"

    @property
    def history(self) -> Path:
        """One JSON line an epoch, flushed as it happens."""
        return self.folder / "history.jsonl"

    @property
    def checkpoint(self) -> Path:
        """What a killed run continues from."""
        return self.folder / "last.ckpt"

    @property
    def model(self) -> Path:
        """The compact sparse checkpoint."""
        return self.folder / "model.safetensors"

    @property
    def log(self) -> Path:
        """What was logged, with times."""
        return self.folder / "log.txt"

    @property
    def failure(self) -> Path:
        """What the run's last attempt in a sweep said as it failed; gone once an attempt succeeds."""
        return self.folder / "failure.txt"

    @property
    def evaluation(self) -> Path:
        """The page `rarefy eval` makes of the record; its numbers are CSV files in the folder of the same name."""
        return self.folder / "evaluation.html"

    def example(self, source: str, kind: str) -> Path:
        """A strip of out-of-distribution images that were ``detected`` or ``missed``; any text can name a source."""
        return self.folder / "examples" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', source)}_{kind}.png"

    @property
    def engine(self) -> Path:
        """How each layer computes, as the engine decided when the run began."""
        return self.folder / "engine.json"

    @property
    def tensorboard(self) -> Path:
        """Event files, if the run is tracked so."""
        return self.folder / "tensorboard"

    def mlflow_store(self) -> Path:
        """One store for all runs, next to their folders."""
        return self.folder.parent / "mlflow.db"

    def wandb_runs(self) -> list[Path]:
        """Folders of W&B's offline runs of this run, the earliest first; wandb itself names them."""
        return sorted((self.folder.parent / "wandb").glob(f"offline-run-*-{self.folder.name}"))

    @property
    def lock(self) -> Path:
        """Held by the process that trains this run."""
        return self.folder / ".lock"


_PARTIAL = re.compile(r"\.(?!failure-).+-[0-9a-f]{16}(\.\w+)?|\.last-\w{8}\.ckpt")  # the second: of older versions


def remove_partial_files(folder: Path) -> None:
    """Removes what killed processes left half written in a run's folder; only for who holds its lock.

    ``failure.txt`` is written without the lock, by sweeps: its partial files stay.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".last-00112233445566ff.ckpt").touch()
        >>> remove_partial_files(folder)
        >>> list(folder.iterdir())
        []
    """
    for path in folder.iterdir():
        if _PARTIAL.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def find_run_folders(root: Path) -> list[Path]:
    """Folders below `root` (or `root` itself) that hold a record, sorted by name."""
    return sorted(record.parent for record in [*root.glob("record.json"), *root.glob("*/record.json")])


def find_unfinished_folders(root: Path) -> list[Path]:
    """Folders below `root` (or `root` itself) that hold settings of a run and no record, sorted by name."""
    started = (config.parent for config in [*root.glob("config.yaml"), *root.glob("*/config.yaml")])
    return sorted(folder for folder in started if not RunPaths(folder).record.is_file())


def name_sweep_plan(out: Path, name: str) -> Path:
    """Names the file that holds the title and the runs of a sweep whose runs are in `out`.

    Example:
        >>> name_sweep_plan(Path("runs"), "depth").as_posix()
        'runs/sweeps/depth.json'
    """
    return out / "sweeps" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.json"


def find_sweep_plans(out: Path) -> list[Path]:
    """Finds the files that `name_sweep_plan` names, sorted by name."""
    return sorted((out / "sweeps").glob("*.json"))


class NoCacheFolder(RarefyError, OSError):
    """Nowhere to keep what was measured, listed or compiled; the message says what to set."""


def get_cache_folder() -> Path:
    """Names the folder for what was measured, listed or compiled: RAREFY_CACHE, or the platform's folder for caches.

    Raises:
        NoCacheFolder: If there is neither: no variable, and a user without a home.

    Example:
        >>> isinstance(get_cache_folder(), Path)
        True
    """
    if os.environ.get("RAREFY_CACHE"):
        return Path(os.environ["RAREFY_CACHE"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = _home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    return base / "rarefy"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise NoCacheFolder(
            "this user has no home folder, and HOME and RAREFY_CACHE are not set; name a folder: RAREFY_CACHE=/path"
        ) from None


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path next to `path` and renames it over `path` on success; on failure `path` is as it was.

    The bytes are on the disk before the rename, so that a power cut leaves the old file or the new one, never half of
    one. A symbolic link stays and the file it names is replaced; that file keeps its permissions, a new one gets those
    of any new file. What is no file and cannot be replaced (a pipe, a device such as ``/dev/stdout``) is written into.

    Args:
        path: The file to write; its folder is created.

    Yields:
        The path to write to, with the same suffix.

    Raises:
        OSError: If it cannot be written; it names `path`.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replace_file(target) as partial:
        ...     _ = partial.write_text("done")
        >>> target.read_text()
        'done'
    """
    try:
        target = _follow_links(path)
        with _feed_stream(target) if _is_stream(target) else _replace_regular_file(target) as partial:
            yield partial
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk says no name
            error.filename = str(path)
        raise


_DESCRIPTOR = re.compile(r"(?:/dev/fd|/proc/self/fd)/(\d+)")
_MOST_LINKS = 40  # as in Linux


def _follow_links(path: Path) -> Path:
    """The path at the end of symbolic links; an open file's own name (``/proc/self/fd/1``) is an end."""
    for _ in range(_MOST_LINKS):
        if _descriptor(path) is not None or not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path stands for."""
    found = _DESCRIPTOR.fullmatch(str(path))
    return int(found[1]) if found else None


def _is_stream(path: Path) -> bool:
    """Whether bytes can be written into it that cannot replace it: a pipe, a device, an open file."""
    if _descriptor(path) is not None:
        return True
    return path.exists() and not (path.is_file() or path.is_dir())


@contextlib.contextmanager
def _feed_stream(path: Path) -> Iterator[Path]:
    """Gives a temporary path, whose bytes then go into a stream."""
    number = _descriptor(path)
    with tempfile.TemporaryDirectory(prefix="rarefy-") as folder:
        partial = Path(folder) / f"output{path.suffix}"
        partial.touch()
        yield partial
        if sys.stdout is not None:
            sys.stdout.flush()  # what was printed before comes before
        handle = os.open(path, os.O_WRONLY) if number is None else os.dup(number)
        with partial.open("rb") as content, os.fdopen(handle, "wb") as stream:
            shutil.copyfileobj(content, stream)


@contextlib.contextmanager
def _replace_regular_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to a file, which then replaces it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.stem}-{secrets.token_hex(8)}{path.suffix}"
    with partial.open("xb"):  # of the permissions that the process gives new files
        mode = stat.S_IMODE((path if path.exists() else partial).stat().st_mode)
    try:
        partial.chmod(mode | stat.S_IWUSR)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(mode)  # again: the old file may have been read-only, and a writer may have created a new file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
