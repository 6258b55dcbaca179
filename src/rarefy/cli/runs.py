"""List finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rarefy.config import Config
    from rarefy.records import Record

EXAMPLES = "rarefy runs    |    rarefy runs demo/runs"


def command(folder: Annotated[Path, typer.Argument(help="Where runs went.")] = Path("runs")) -> None:
    """Prints a table of the records below a folder."""
    from rarefy.cli._console import console, table
    from rarefy.config import Config
    from rarefy.records import find

    screen = console()
    records = find(folder)
    if not records:
        screen.print(f"No finished runs in {folder}. `rarefy train --out {folder}` makes one.")
        return
    columns = ["run", "data", "model", "allocation", "topology", "density", "kept", "seed", "epochs", "test", "disk"]
    screen.print(table(None, columns, [_row(record, Config.from_values(record.config)) for record in records]))


def _row(record: Record, config: Config) -> tuple[object, ...]:
    from rarefy.cli._console import percent, quantity

    what = (record.id, config.data.name, config.model.name, config.allocation.name, config.topology.name)
    kept = (percent(record.density), f"{record.params.kept:,}", config.seed, len(record.history))
    size = f"{quantity(record.files.get('model.safetensors', 0))}B"
    return (*what, *kept, percent(record.metrics["test"]["accuracy"]), size)
