"""Language models over scalings, densities and rates: trains examples/language_model.py, one line of CSV per training.

Run: python benchmarks/language.py full --csv full.csv [--text FILE] [--seeds 3]         (about 20 minutes per seed)
     python benchmarks/language.py rates --csv rates.csv [--seeds 3]                     (about 2 minutes per seed)

`full` has nanoGPT's setting for CPUs: 4 layers of width 128, 2,000 steps of 12 windows of 64. `rates` is for the curve
of the learning rate: 2 layers, 100 steps. Trainings in the file are left out, so that the same command continues.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import language_model
import torch

SETTING = ("steps", "layers", "recipe", "scaling", "topology", "density", "lr", "seed")
COLUMNS = ("text", *SETTING, "bits", "kept", "seconds")
BASE = 2.0**-10  # of the dense network: nanoGPT's 1e-3, as a power of two
SUPAR, SET = ["--scaling", "supar"], ["--topology", "set"]
FULL = [
    (1.0, 0, []),
    (1 / 16, 0, SUPAR), (1 / 16, 0, []), (1 / 16, 4, []), (1 / 16, 0, [*SUPAR, *SET]),
    (1 / 64, 0, SUPAR), (1 / 64, 0, []), (1 / 64, 6, []),
    (1.0, 2, []), (1 / 16, 2, SUPAR), (1 / 64, 2, SUPAR), (1.0, 1, []), (1 / 16, 2, []),
]  # fmt: skip
RATES = [
    *((1.0, shift, []) for shift in range(-1, 4)),
    *((1 / 64, shift, SUPAR) for shift in range(-1, 4)),
    *((1 / 64, shift, []) for shift in range(0, 9)),
]


def list_words(study: str) -> Iterator[list[str]]:
    """Lists the settings of a study as words of the example's command line, the most important first."""
    size = ["--layers", "2", "--steps", "100"] if study == "rates" else []
    for density, shift, words in RATES if study == "rates" else FULL:
        engine = "masked" if density == 1 else "cpu"
        yield [*size, *words, "--density", str(density), "--lr", str(BASE * 2**shift), "--engine", engine]
    if study == "full":
        for least, density in ((4, 1 / 32), (0, 1 / 1000)):
            yield ["--recipe", "circuits", "--density", str(density), "--least", str(least), "--lr", "0.0128"]


def read_finished(file: Path) -> set[tuple[str, ...]]:
    """Reads which trainings a file holds: the text and the setting of each."""
    if not file.exists():
        return set()
    with file.open(newline="", encoding="utf-8") as rows:
        return {tuple(row[name] for name in COLUMNS[: 1 + len(SETTING)]) for row in csv.DictReader(rows)}


def train(options: argparse.Namespace, text: str, seed: int) -> tuple[float, int, float]:
    """Trains a network; returns its bits per character, the number of weights it keeps, and processor seconds."""
    tokens, held_out, characters = language_model.encode(text)
    started = time.process_time()
    with torch.random.fork_rng():
        model, sparsity = language_model.train(options, tokens, characters, seed)
    seconds = time.process_time() - started
    return language_model.compute_bits(model, held_out, options.context), sparsity.kept, seconds


def main() -> None:
    """Trains what is missing, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["full", "rates"])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="default: Python's language reference")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, help="only the first settings of the list")
    parser.add_argument("--steps", type=int, help="steps of each training, in place of the study's")
    given = parser.parse_args()
    text = given.text.read_text(encoding="utf-8") if given.text else language_model.read_reference()
    name = given.text.stem if given.text else "reference"
    finished = read_finished(given.csv)
    settings = list(list_words(given.study))[: given.first]
    for seed in range(given.seeds):
        for words in settings:
            options = language_model.parse_options(words + (["--steps", str(given.steps)] if given.steps else []))
            setting = (name, *(str(vars(options).get(column, seed)) for column in SETTING))
            if setting in finished:
                continue
            bits, kept, seconds = train(options, text, seed)
            append_row(given.csv, (*setting, f"{bits:.4f}", str(kept), f"{seconds:.0f}"))


def append_row(file: Path, row: tuple[str, ...]) -> None:
    """Appends a row to a file, behind a line of titles if it is new, and prints it."""
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as rows:
        csv.writer(rows, lineterminator="\n").writerows([COLUMNS, row] if is_new else [row])
    print(*row, flush=True)


if __name__ == "__main__":
    main()
