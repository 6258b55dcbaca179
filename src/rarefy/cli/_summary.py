"""Prints the summary before and after a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from rarefy.cli._console import percent, quantity, table
from rarefy.config import Config
from rarefy.records import Record


def show_plan(screen: Console, config: Config, folder: Path) -> None:
    """Prints one line: what will be trained, and the run's folder."""
    what, values = describe(config), config.training
    epochs = "1 epoch" if values.epochs == 1 else f"{values.epochs} epochs"
    screen.print(
        f"{config.model.name} on {config.data.name}, {what}, seed {config.seed}: {epochs}, batch "
        f"{values.batch_size}, lr {values.lr:g}, {config.device} -> {folder}"
    )


def describe(config: Config) -> str:
    """Describes how a config is sparse, or returns ``dense``."""
    if config.allocation.name == "dense":
        return "dense"
    pattern = "" if config.pattern == "unstructured" else f" {config.pattern}"
    return f"density {config.density:g} {config.allocation.name}{pattern}, {config.topology.name}"


def show_record(screen: Console, record: Record, folder: Path) -> None:
    """Prints a run's results and the paths of its files."""
    test = record.metrics["test"]
    dense_bytes = 4 * record.params.all
    size = record.files.get("model.safetensors", 0)
    rows = [
        ("test accuracy", percent(test["accuracy"])),
        ("test loss", f"{test['loss']:.4f}"),
        ("epoch tested", f"{record.selected_epoch} of {len(record.history)}"),
        ("weights kept", f"{record.params.kept:,} of {record.params.total:,} ({percent(record.density)})"),
        ("model on disk", f"{quantity(size)}B ({size / dense_bytes:.2f} of the dense float32 weights)"),
        ("speed", f"{record.timing.images_per_second:.0f} images/s, {record.timing.seconds_per_epoch:.1f} s per epoch"),
        ("engine", _engine(record.engine)),
        ("record", str(folder / "record.json")),
        ("picture", str(folder / "curves.png")),
    ]
    if record.skipped_images:
        rows.insert(3, ("skipped images", f"{_by_split(record.skipped_images)}, named in {folder / 'log.txt'}"))
    screen.print()
    screen.print(table(None, ("run", record.id), rows))
    for note in record.notes:
        screen.print(f"note: {note}")


def _by_split(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} of {split}" for split, count in counts.items())


def _engine(plan: Mapping[str, Any]) -> str:
    """Describes the engine and its speed-up over dense in the faster memory layout."""
    sparse = sum(how != "dense" for how in plan["layers"].values())
    step = plan.get("step_milliseconds")
    dense = min((time for how, time in (step or {}).items() if how != "sparse"), default=0.0)
    gain = f", {dense / step['sparse']:.2f}x as fast as dense" if sparse and step else ""
    return f"{plan['engine']}: {sparse} of {len(plan['layers'])} layers sparse{gain}"
