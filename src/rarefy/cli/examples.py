"""List the examples and sweep files that come with rarefy, or copy them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated

import typer

from rarefy.errors import InvalidInput, UnknownName

EXAMPLES = (
    "rarefy examples                          what there is\n\n"
    "rarefy examples own_loop --to work/      copies own_loop.py into work/; a file that is there is not replaced\n\n"
    "Sweep files need no copy: rarefy sweep cifar10_depth --scale smoke"
)
_GROUPS = (
    ("Programs", "examples", ".py"),
    ("Scripts for clusters", "examples", ".sh"),
    ("Sweeps, for rarefy sweep NAME", "experiments", ".yaml"),
    ("Tables; for rarefy report --published published", "experiments", ".csv"),
)


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Names of files to copy; default: list all.")] = None,
    *,
    to: Annotated[Path, typer.Option("--to", help="Folder for the copies.")] = Path(),
) -> None:
    """Prints a table of the files, or copies some."""
    from rarefy.cli._console import console
    from rarefy.installation import list_shipped_files

    screen = console()
    files = {title: list_shipped_files(folder, suffix) for title, folder, suffix in _GROUPS}
    if not names:
        for title, group in files.items():
            screen.print(f"{title}:")
            for name, path in group.items():
                screen.print(f"  {name:18}{_describe(path)}")
        return screen.print("Copy some: rarefy examples NAME ... --to DIR")
    known = {name: path for group in files.values() for name, path in group.items()}
    for path in [_find(name, known) for name in names]:  # a typo fails before anything is written
        screen.print(f"written: {_copy(path, to)}")


def _find(name: str, known: dict[str, Path]) -> Path:
    path = known.get(name) or next((path for path in known.values() if path.name == name), None)
    if path is None:
        raise UnknownName(
            f"There is no example {name!r}. There are {', '.join(known)}.",
            kind="example",
            name=name,
            known=tuple(known),
        )
    return path


def _copy(path: Path, folder: Path) -> Path:
    """Copies a file into a folder; raises InvalidInput if one of its name is there."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / path.name
    try:
        with copy.open("xb") as file:
            file.write(path.read_bytes())
    except FileExistsError:
        raise InvalidInput(
            f"{copy} is there already. Remove it, or name another folder: --to DIR.", name="to", value=folder
        ) from None
    return copy


def _describe(path: Path) -> str:
    """Reads a file's own first words about itself: a docstring, the title of a sweep, a comment."""
    from rarefy.config import read_settings

    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    if path.suffix == ".yaml":
        return str(read_settings(path).get("about", {}).get("title", ""))
    if path.suffix == ".csv":
        first, *rows = text.splitlines()
        return f"{len(rows)} rows of {first.replace(',', ', ')}"
    return next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), "")
