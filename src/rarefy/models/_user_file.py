"""Python files that define networks of yours: imported once per content, and only if you have named them yourself."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rarefy.errors import MissingFile, PluginError
from rarefy.paths import get_cache_folder, replace_file


def read_digest(file: Path) -> str:
    """Computes the SHA-256 of a Python file, the same for every kind of line ending.

    Raises:
        MissingFile: If there is no such file.
    """
    if not file.is_file():
        raise MissingFile(
            f"There is no file {file} in {Path.cwd()} to define a network. Start where it is, or name it by its path: "
            "--model DIR/FILE.py:NAME",
            path=file,
        )
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def import_file(file: Path, digest: str) -> ModuleType:
    """Imports a Python file under a name of its own; its folder is on the search path meanwhile.

    Raises:
        PluginError: If it cannot be imported; the error that its import raised is the cause.
    """
    place = hashlib.sha256(f"{file.resolve()} {digest}".encode()).hexdigest()[:12]
    name = f"rarefy_model_{file.stem}_{place}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file.resolve())
        if spec is None or spec.loader is None:
            raise PluginError(f"{file} is not a Python file: its name must end in .py.", plugin=str(file))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            with search_folder(file), explain_errors(file, "its import"):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


@contextlib.contextmanager
def search_folder(file: Path) -> Iterator[None]:
    """Context in which a file's own folder is searched for modules, as when Python runs the file."""
    folder = str(file.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file's own code may have removed it
            sys.path.remove(folder)


@contextlib.contextmanager
def explain_errors(file: Path, what: str) -> Iterator[None]:
    """Context that raises PluginError, with the line of the file, for any error of the code in it."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:  # other people's code
        trace, line = error.__traceback__, 0
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(file.resolve()) else line
            trace = trace.tb_next
        line = line or getattr(error, "lineno", 0) or 0
        place = f"{file}, line {line}" if line else str(file)
        raise PluginError(f"{place}: {what} raised {type(error).__name__}: {error}", plugin=str(file)) from error


def allow_file(digest: str) -> None:
    """Notes in the cache that this user has named a file of this content, so that runs made with it can be loaded."""
    mark = _locate_mark(digest)
    if not mark.exists():
        with contextlib.suppress(OSError), replace_file(mark) as partial:  # a cache that is read only: asked again
            partial.touch()


def is_allowed(digest: str) -> bool:
    """Whether this user has named a file of this content on this machine."""
    return _locate_mark(digest).exists()


def _locate_mark(digest: str) -> Path:
    return get_cache_folder() / "models" / digest
