"""Unpack parquet files of pictures into tar shards, which train quickly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "rarefy unpack /data/imagenet-1k /data/imagenet     and then: rarefy train /data/imagenet ...\n\n"
    "To continue an interrupted one, give the same command again."
)


def command(
    folder: Annotated[Path, typer.Argument(help="Folder with [data/]train-*.parquet and [data/]validation-*.parquet.")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards; free disk space is checked first.")],
) -> None:
    """Writes the missing shards and prints progress."""
    from rarefy.cli._console import console
    from rarefy.data import unpack_parquet

    screen = console()
    count = unpack_parquet(folder, out, progress=lambda file, done, of: screen.print(f"{done} of {of}: {file}"))
    screen.print(f"{count} shards: rarefy train {out} ...")
