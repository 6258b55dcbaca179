"""Adds finished trainings to the CSV files of docs/scaling.md; then scaling_transfer.py rebuilds the page.

python docs/plots/scaling_records.py --runs FOLDER [--rates rates.csv] [--full full.csv]

FOLDER holds runs of experiments/scaling_mlp.yaml, scaling_resnet.yaml and extreme.yaml; the CSV files are those that
benchmarks/language.py writes. A training that a file has already is replaced.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rarefy import records

HERE = Path(__file__).parent
CURVES = ("mlp_256_256", "cifar_resnet_8_16")
EXTREME = "cifar_resnet_20_16"


def merge_rows(name: str, rows: Iterable[Mapping[str, object]], values: Sequence[str]) -> None:
    """Merges rows into a CSV file beside this script.

    Args:
        name: Name of the file.
        rows: The rows, with equal columns.
        values: Columns of results; rows that are equal in all others are one training.
    """
    file = HERE / name
    old = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.exists() else []
    merged: dict[tuple[str, ...], Mapping[str, object]] = {}
    for row in (*old, *rows):
        merged[tuple(str(value) for column, value in row.items() if column not in values)] = row
    if merged:
        with file.open("w", newline="", encoding="utf-8") as text:
            writer = csv.DictWriter(text, list(next(iter(merged.values()))), lineterminator="\n")
            writer.writeheader()
            writer.writerows(merged.values())


def read_rates(runs: Path) -> Iterator[dict[str, object]]:
    """Reads the validation losses of the runs that belong to a curve."""
    for record in records.find(runs):
        if record.config["model"]["name"] in CURVES:
            loss = record.history[-1].validation_loss
            yield {
                "network": record.config["model"]["name"], **describe_scaling(record),
                "lr": record.config["training"]["lr"], "seed": record.config["seed"],
                "loss": "" if loss is None else f"{loss:.4f}",
            }  # fmt: skip


def read_extreme(runs: Path) -> Iterator[dict[str, object]]:
    """Reads the test accuracies of the runs at the lowest densities."""
    for record in records.find(runs):
        if record.config["model"]["name"] == EXTREME:
            allocation = record.config["allocation"]["name"]
            yield {
                "optimizer": record.config["training"]["optimizer"]["name"],
                "allocation": f"{allocation}, connected" if record.config.get("connect") else allocation,
                **describe_scaling(record),
                "seed": record.config["seed"], "accuracy": record.metrics["test"]["accuracy"],
                "validation_loss": record.history[-1].validation_loss,
            }  # fmt: skip


def describe_scaling(record: records.Record) -> dict[str, object]:
    """Describes the scaling and the density of a run; those of a dense one are "dense" and 1."""
    is_dense = record.config["allocation"]["name"] == "dense"
    scaling = "dense" if is_dense else record.config.get("scaling", {"name": "none"})["name"]
    return {"scaling": scaling, "density": 1.0 if is_dense else record.config["density"]}


def read_language_rates(file: Path) -> Iterator[dict[str, object]]:
    """Reads the curves of the language model."""
    for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
        scaling = "dense" if float(row["density"]) == 1 else row["scaling"]
        yield {"network": "gpt", "scaling": scaling, "density": float(row["density"]), "lr": float(row["lr"]),
               "seed": row["seed"], "loss": row["bits"]}  # fmt: skip


def main() -> None:
    """Adds what is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--rates", type=Path)
    parser.add_argument("--full", type=Path)
    given = parser.parse_args()
    if given.runs:
        merge_rows("scaling_transfer.csv", read_rates(given.runs), ("loss",))
        merge_rows("scaling_extreme.csv", read_extreme(given.runs), ("accuracy", "validation_loss"))
    if given.rates:
        merge_rows("scaling_transfer.csv", read_language_rates(given.rates), ("loss",))
    if given.full:
        rows = csv.DictReader(given.full.read_text(encoding="utf-8").splitlines())
        merge_rows("scaling_language.csv", rows, ("bits", "kept", "seconds"))


if __name__ == "__main__":
    main()
