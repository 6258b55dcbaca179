"""Predict the classes of pictures with a finished run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.cli._threads import use_threads
from rarefy.flags import CSV, DATA_DIR, JSON, THREADS, Flag

if TYPE_CHECKING:
    from rarefy.pipeline import Prediction, TrainedNetwork

EXAMPLES = (
    "rarefy predict runs/3f2a9c1b77de cat.png dog.jpg     the three most probable classes of each\n\n"
    "rarefy predict runs/3f2a9c1b77de photos --csv -      every picture below a folder, all probabilities as CSV\n\n"
    "rarefy predict cifar10/resnet20-erk-0.1 cat.png      a network that comes with rarefy\n\n"
    "rarefy predict runs/3f2a9c1b77de images.npz --json predictions.json\n\n"
    "Pictures of other sizes are resized as the run's own were in evaluation, grey and colour are converted. The run's "
    "data need not be there."
)
OPTIONS = (
    Flag(("--top",), "", int, "Classes shown for each image.", default=3, minimum=1),
    dataclasses.replace(CSV, help="Write all probabilities to this CSV file; - is the standard output."),
    dataclasses.replace(JSON, help="Write all probabilities to this JSON file; - is the standard output."),
    Flag(("--skip-bad-images",), "", bool, "Leave out pictures that cannot be decoded."),
    Flag(("--device",), "", str, "Device: cpu, cuda or cuda:N.", default="cpu"),
    THREADS,
    dataclasses.replace(
        DATA_DIR, help="Folder of the run's data; only records of earlier versions need it.", default=None
    ),
)


@add_flags(OPTIONS)
def command(
    run: Annotated[str, typer.Argument(help="Folder of a finished run, or a published network.")],
    images: Annotated[
        list[str], typer.Argument(help="Pictures, folders of them, .npz files of uint8 images, .csv tables.")
    ],
    *,
    top: int,
    csv_file: Path | None,
    json_file: Path | None,
    skip_bad_images: bool,
    device: str,
    threads: int | None,
    data_dir: Path | None,
) -> None:
    """Prints a table of the predictions, or writes them."""
    from rarefy.cli._console import show_warnings

    import_torch()
    from rarefy.pipeline import load_run, parse_device, predict_files

    show_warnings()
    use_threads(threads)
    network = load_run(run, device=parse_device(device), data_dir=data_dir)
    predictions = list(predict_files(network, images, skip_bad_images=skip_bad_images))
    if csv_file:
        _write(csv_file, _format_csv(predictions, network))
    if json_file:
        _write(json_file, _format_json(predictions, network))
    if "-" not in (str(csv_file), str(json_file)):
        _show(predictions, top, [file for file in (csv_file, json_file) if file])


def _show(predictions: Sequence[Prediction], top: int, files: Sequence[Path]) -> None:
    from rarefy.cli._console import console, percent, table

    rows = []
    for prediction in predictions:
        (name, probability), *others = prediction.rank(top)
        rows.append((prediction.image, name, percent(probability), ", ".join(f"{n} {percent(p)}" for n, p in others)))
    console().print(table(None, ("image", "class", "probability", "then"), rows))
    for file in files:
        console().print(f"written: {file}")


def _format_csv(predictions: Sequence[Prediction], network: TrainedNetwork) -> str:
    from rarefy.reports import format_csv

    rows = [(row["image"], row["class"], row["probability"], *row["probabilities"]) for row in _list(predictions)]
    return format_csv(["image", "class", "probability", *network.class_names], rows)


def _format_json(predictions: Sequence[Prediction], network: TrainedNetwork) -> str:
    import json

    classes = json.dumps(network.class_names, ensure_ascii=False)
    rows = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in _list(predictions))
    return f'{{"run": "{network.record.id}", "classes": {classes},\n"predictions": [\n{rows}\n]}}\n'


def _list(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Lists predictions as plain values: image, class, its probability, and those of all classes in order."""
    rows = []
    for prediction in predictions:
        name, _ = prediction.rank(1)[0]
        values = [float(f"{value:.7g}") for value in prediction.probabilities.tolist()]  # as many digits as float32 has
        rows.append({"image": prediction.image, "class": name, "probability": max(values), "probabilities": values})
    return rows


def _write(file: Path, text: str) -> None:
    from rarefy.cli._plain import plain
    from rarefy.paths import replace_file

    if str(file) == "-":
        print(plain(text), end="")
        return
    with replace_file(file) as partial:
        partial.write_text(text, encoding="utf-8")
