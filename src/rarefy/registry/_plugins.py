"""Methods of other packages and files: found, loaded, and named in errors."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rarefy.errors import MissingFile, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PLUGINS_VARIABLE = "RAREFY_PLUGINS"
_LOADED_NAMES: dict[str, set[str]] = {}  # entry point group -> names that other packages registered
_PLUGINS: dict[str, str] = {}  # package that is not ours -> the method it registered, as a message names it


def note_plugin(package: str, method: str, *, group: str, name: str) -> None:
    """Remember that a package which is not ours registered a method."""
    _PLUGINS.setdefault(package, method)
    _LOADED_NAMES.setdefault(group, set()).add(name)


def get_loaded_names(group: str) -> set[str]:
    """Return the names that other packages have registered."""
    return _LOADED_NAMES.get(group, set())


def find_plugin(error: BaseException) -> str | None:
    """Find the plug-in that raised an error itself: the innermost call is in the package that registered a method.

    Returns:
        Kind and name of the method, such as ``"allocation 'mine'"``; None where the error is nobody's plug-in's.

    Example:
        >>> find_plugin(ValueError("nobody's")) is None
        True
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return _PLUGINS.get(module.partition(".")[0])


def find_entry_points(group: str) -> dict[str, EntryPoint]:
    """Find the methods that installed packages add to a registry, without loading them."""
    from importlib import metadata  # here, so that `rarefy --help` does not wait for it

    return {point.name: point for point in metadata.entry_points(group=group)}


def load_plugin(file: Path) -> None:
    """Import a Python file that registers methods, here and in every process that this one starts.

    Args:
        file: The file; ``RAREFY_PLUGINS`` in the environment names it to other processes.

    Raises:
        MissingFile: If there is no such file.
        PluginError: If it cannot be imported; the error that its import raised is the cause.

    Example:
        >>> load_plugin(Path("nowhere.py"))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        rarefy.errors.MissingFile: There is no plug-in nowhere.py. ...
    """
    if not file.is_file():
        raise MissingFile(f"There is no plug-in {file}. Give a Python file that registers methods.", path=file)
    path = file.resolve()
    name = f"rarefy_plugin_{path.stem}"
    known = [part for part in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if part]
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"The plug-in {file} is not a Python file: its name must end in .py.", plugin=str(file))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # any error that other people's code can raise
            del sys.modules[name]
            raise PluginError(
                f"The plug-in {file} cannot be imported ({type(error).__name__}: {error}). Correct the file.",
                plugin=str(file),
            ) from error
    os.environ[PLUGINS_VARIABLE] = os.pathsep.join(dict.fromkeys([*known, str(path)]))


def load_plugin_files() -> None:
    """Import the files that the process which started this one has loaded."""
    for path in filter(None, os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)):
        load_plugin(Path(path))
