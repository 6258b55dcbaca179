"""Rebuilds the comparison in docs/allocations.md from the CSV file beside this script.

python docs/plots/allocations.py [--runs FOLDER]

FOLDER holds runs of experiments/layerwise.yaml; they replace those in the CSV file. Text outside the marked block of
the page is written by hand and stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from reproduction import fill
from scaling_transfer import format_differences, format_summary, make_table

from rarefy import records
from rarefy.reports import format_csv
from rarefy.statistics import summarize

HERE = Path(__file__).parent
COLUMNS = ("method", "seed", "accuracy")
REFERENCE = "erk"


def read_runs(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Reads the method, the seed and the test accuracy of each finished run."""
    for record in records.find(folder):
        method = record.config["allocation"]["name"]
        initialiser = record.config.get("initialiser", {"name": "model"})["name"]
        yield (
            method if initialiser == "model" else f"{method}, {initialiser}",
            record.config["seed"],
            record.metrics["test"]["accuracy"],
        )


def make_comparison(rows: Iterable[Mapping[str, str]]) -> str:
    """Makes the table: dense, then by falling accuracy, with the differences from ERK seed by seed."""
    accuracies: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        accuracies[row["method"]][row["seed"]] = 100 * float(row["accuracy"])
    summaries = {method: summarize(list(values.values())) for method, values in accuracies.items()}
    lines = []
    for method in sorted(summaries, key=lambda method: (method != "dense", -summaries[method].mean)):
        own = accuracies[method]
        difference = format_differences(own, accuracies.get(REFERENCE, {}))
        name = " with ".join(f"`{word}`" for word in method.split(", "))
        lines.append((name, format_summary(summaries[method], 1), difference, str(len(own))))
    return make_table(("allocation", "test accuracy, %", f"difference from `{REFERENCE}`", "seeds"), lines)


def main() -> None:
    """Reads runs where they are given, and writes the page with its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    file, page = HERE / "allocations.csv", HERE.parent / "allocations.md"
    if given.runs:
        file.write_text(format_csv(COLUMNS, sorted(read_runs(given.runs))), encoding="utf-8")
    table = make_comparison(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    page.write_text(fill(page.read_text(encoding="utf-8"), {"comparison": table}), encoding="utf-8")


if __name__ == "__main__":
    main()
