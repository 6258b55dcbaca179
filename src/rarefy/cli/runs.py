"""List finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "rarefy runs    |    rarefy runs demo/runs"


def command(folder: Annotated[Path, typer.Argument(help="Where runs went.")] = Path("runs")) -> None:
    """Prints a table of the records below a folder."""
    from rarefy.cli._console import console, percent, quantity, table
    from rarefy.config import Config
    from rarefy.records import find

    screen = console()
    records = find(folder)
    if not records:
        screen.print(f"No finished runs in {folder}. `rarefy train --out {folder}` makes one.")
        return
    rows = []
    for record in records:
        config = Config.from_values(record.config)
        sparse = (config.allocation.name, percent(record.density), f"{record.params.kept:,}")
        size = f"{quantity(record.files.get('model.safetensors', 0))}B"
        rows.append(
            (
                record.id,
                config.data.name,
                config.model.name,
                *sparse,
                config.seed,
                len(record.history),
                percent(record.metrics["test"]["accuracy"]),
                size,
            )
        )
    columns = (
        "run",
        "data",
        "model",
        "allocation",
        "density",
        "weights kept",
        "seed",
        "epochs",
        "test accuracy",
        "on disk",
    )
    screen.print(table(None, columns, rows))
