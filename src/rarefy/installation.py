"""How this rarefy was installed, what adds one of its extras, and which files come with it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rarefy.errors import MissingPackage

__all__ = ["find_shipped_file", "find_shipped_folder", "format_install_command", "import_extra", "list_shipped_files"]

_PACKAGE = Path(__file__).parent
_CLONE = _PACKAGE.parents[1]


def import_extra(module: str, extra: str, *, needed_by: str) -> Any:
    """Imports a module that only an extra of rarefy installs.

    Args:
        module: Its name: ``"pyarrow.parquet"``.
        extra: The extra: ``"parquet"``.
        needed_by: What needs it, as a sentence begins: ``"Parquet files"``.

    Raises:
        MissingPackage: If it cannot be imported; the message has the command that installs it.

    Example:
        >>> import_extra("no_such_module", "vision", needed_by="This model")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.errors.MissingPackage: This model needs no_such_module, which cannot be imported (No module named ...
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackage(
            f"{needed_by} needs {package}, which cannot be imported ({error}). It is in the extra {extra!r}: "
            f"{format_install_command(extra)}",
            package=package,
            extra=extra,
        ) from error


def format_install_command(extras: str) -> str:
    """Formats the pip command that installs rarefy with extras from where this one came (PEP 610).

    Its double quotes mean the same in bash, zsh, fish, PowerShell and cmd.

    Args:
        extras: Names of extras, with commas between them.

    Example:
        >>> format_install_command("ood,attacks")  # doctest: +ELLIPSIS
        'pip install ..."...[ood,attacks]...'
    """
    origin = _read_origin()
    address, commit = origin.get("url", ""), origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return f'pip install "rarefy[{extras}] @ {origin["vcs_info"]["vcs"]}+{address}@{commit}"'
    if "archive_info" in origin:  # a wheel or an sdist
        return f'pip install "rarefy[{extras}] @ {address}"'
    if address:  # a folder, which pip takes with extras only as a path
        edits = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f'pip install {edits}"{url2pathname(unquote(urlsplit(address).path))}[{extras}]"'
    return f'pip install "rarefy[{extras}]"'


def list_shipped_files(folder: str, suffix: str) -> dict[str, Path]:
    """Lists files that come with rarefy.

    Args:
        folder: ``"experiments"`` or ``"examples"``.
        suffix: Ending of the files: ``".yaml"``.

    Returns:
        Paths by name without the ending.

    Example:
        >>> "cifar10_depth" in list_shipped_files("experiments", ".yaml")
        True
    """
    return {path.stem: path for path in sorted(find_shipped_folder(folder).glob(f"*{suffix}"))}


def find_shipped_folder(folder: str) -> Path:
    """Finds a folder that comes with rarefy: in a clone at its top, in an installed package inside it.

    Args:
        folder: ``"experiments"``, or a folder in it.

    Example:
        >>> find_shipped_folder("experiments/results").name
        'results'
    """
    places = (_PACKAGE / "_shipped" / folder, _CLONE / folder)
    return next((place for place in places if place.is_dir()), places[0])


def find_shipped_file(name: Path, folder: str, suffix: str) -> Path:
    """Finds a file by its path, or else by its name among those that come with rarefy.

    Returns:
        The path of a file that exists, or `name` as it is.

    Example:
        >>> find_shipped_file(Path("cifar10_depth"), "experiments", ".yaml").name
        'cifar10_depth.yaml'
    """
    is_file = name.exists() and not name.is_dir()
    return name if is_file else list_shipped_files(folder, suffix).get(name.as_posix().removesuffix(suffix), name)


def _read_origin() -> dict[str, Any]:
    """Reads what the installer noted about the origin; empty for a package from an index."""
    from importlib import metadata  # here, so that `rarefy --help` does not wait for it

    try:
        text = metadata.distribution("rarefy").read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # a clone on PYTHONPATH
        return {"url": _CLONE.as_uri(), "dir_info": {"editable": True}}
    return dict(json.loads(text)) if text else {}
