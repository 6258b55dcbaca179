"""List finished runs: filter, sort, choose columns, write CSV."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._fit import fit_columns
from rarefy.cli._flags import add_flags
from rarefy.flags import CSV, Flag

if TYPE_CHECKING:
    from rarefy.records import Record

EXAMPLES = (
    "rarefy runs                                   every run in runs/\n\n"
    'rarefy runs --where density=0.05 --where "accuracy>0.8" --sort -accuracy\n\n'
    "rarefy runs demo/runs more/ --where seed=1,2,3 --columns id,model,density,lr,accuracy --csv table.csv\n\n"
    "rarefy runs --where sparse_init=erk --columns id,ood.noise.scores.energy.auroc --csv -\n\n"
    "A name is a flag of `rarefy train`, a short name (accuracy, loss, kept, disk, run), or any dotted "
    "path of record.json (training.lr, history.-1.train_loss). Numbers are the record's: accuracies and densities are "
    "fractions in [0, 1], also where the table shows percent. Dates are UTC."
)
DEFAULT = {
    "run": "id",
    "name": "name",
    "date": "created",
    "data": "data",
    "model": "model",
    "allocation": "config.allocation.name",
    "topology": "topology",
    "density": "record.density",
    "kept": "kept",
    "seed": "seed",
    "epochs": "epochs",
    "test": "accuracy",
    "disk": "disk",
}
_LEFT_OUT = ("disk", "kept", "epochs", "topology", "data", "date", "allocation", "seed", "name", "model")
_FRACTIONS = ("accuracy", "density", "test")


OPTIONS = (
    Flag(("--where",), "", list, "Condition: density=0.05, 'accuracy>0.8', seed=1,2, topology!=static; all must hold."),
    Flag(("--sort",), "", str, "Names to sort by, as in -accuracy,seed; - sorts from high to low.", default=""),
    Flag(("--columns",), "", str, "Names of the columns, as in id,model,density,accuracy.", default=""),
    dataclasses.replace(CSV, help="Write the table, in full precision, to this CSV file; - is the standard output."),
)


@add_flags(OPTIONS)
def command(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of runs; default: runs.")] = None,
    *,
    where: list[str] | None,
    sort: str,
    columns: str,
    csv_file: Path | None,
) -> None:
    """Prints a table of the records below some folders."""
    from rarefy.cli._console import console, show_warnings
    from rarefy.records import select, tabulate

    show_warnings()
    places = folders or [Path("runs")]
    rows = [_dump(record) for record in _read_records(places)]
    chosen = select(rows, where or (), _words(sort))
    names = {name: name for name in _words(columns)} or DEFAULT
    cells = tabulate(chosen, list(names.values()), among=rows)
    if csv_file:
        _write_csv(list(names), cells, csv_file)
    if str(csv_file) == "-":
        return
    screen = console()
    if not chosen:
        screen.print(_nothing(places, len(rows)))
        return
    _show(list(names), cells)
    if csv_file:
        screen.print(f"written: {csv_file}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _read_records(folders: Sequence[Path]) -> list[Record]:
    """Reads every run once: a folder may be given twice, and a run may be a copy."""
    from rarefy.records import find

    result: dict[str, list[Record]] = {}
    for record in find(*folders):
        alike = result.setdefault(record.id, [])
        if record not in alike:
            alike.append(record)
    return [record for alike in result.values() for record in alike]


def _dump(record: Record) -> dict[str, Any]:
    """Converts a record to plain values; settings missing from older records get their defaults."""
    from rarefy.config import Config, ConfigError

    values = record.model_dump(mode="json")
    try:
        return values | {"config": Config.from_values(record.config).model_dump(mode="json")}
    except ConfigError:
        return values


def _nothing(folders: Sequence[Path], count: int) -> str:
    where = ", ".join(map(str, folders))
    if count:
        return f"None of the {count} finished runs in {where} meets every condition."
    return f"No finished runs in {where}. `rarefy train --out {folders[0]}` makes one."


def _show(names: Sequence[str], cells: Sequence[Sequence[Any]]) -> None:
    from rarefy.cli._console import console, table

    screen = console()
    shown = [[_format_cell(name, cell) for name, cell in zip(names, row, strict=True)] for row in cells]
    kept = choose_columns(names, shown, screen.width)
    screen.print(table(None, [names[i] for i in kept], [[row[i] for i in kept] for row in shown], whole=("run", "id")))


def choose_columns(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Chooses the columns to show: all that were asked for; of the default ones those that fit, without empty names."""
    if list(names) != list(DEFAULT):
        return list(range(len(names)))
    used = [index for index, name in enumerate(names) if name != "name" or any(row[index] for row in rows)]
    part = [[row[index] for index in used] for row in rows]
    return [used[index] for index in fit_columns([names[index] for index in used], part, width, drop=_LEFT_OUT)]


def _format_cell(name: str, value: Any) -> str:
    """Formats a value for the table."""
    from rarefy.cli._console import percent, quantity

    last = name.rpartition(".")[2]
    if value is None:
        return "-"
    if isinstance(value, bool | list | dict):
        return json.dumps(value)
    if isinstance(value, str):
        return value[:16].replace("T", " ") if name == "date" else value  # to the minute, UTC
    if last.endswith(_FRACTIONS):
        return percent(value)
    if last == "disk":
        return f"{quantity(value)}B"
    return f"{value:,}" if last == "kept" else f"{value:.6g}" if isinstance(value, float) else str(value)


def _write_csv(names: Sequence[str], cells: Sequence[Sequence[Any]], file: Path) -> None:
    from rarefy.cli._plain import plain
    from rarefy.paths import replace_file
    from rarefy.reports import format_csv

    shown = [[json.dumps(cell) if isinstance(cell, bool | list | dict) else cell for cell in row] for row in cells]
    text = format_csv(names, shown)
    if str(file) == "-":
        print(plain(text), end="")
        return
    with replace_file(file) as partial:
        partial.write_text(text, encoding="utf-8")
