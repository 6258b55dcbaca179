"""Export a finished run to ONNX, PyTorch, safetensors or a folder for the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._threads import use_threads
from rarefy.flags import DATA_DIR, THREADS, Flag

if TYPE_CHECKING:
    from rarefy.pipeline import ExportReport

EXAMPLES = (
    "rarefy export runs/3f2a9c1b77de --to onnx                any batch size, batch norm folded\n\n"
    "rarefy export runs/3f2a9c1b77de --to onnx --batch 1 --sparse --out network.onnx\n\n"
    "rarefy export runs/3f2a9c1b77de --to torch               an ExportedProgram, for torch.export.load\n\n"
    "rarefy export runs/3f2a9c1b77de --to safetensors         dense weights for load_state_dict\n\n"
    "rarefy export runs/3f2a9c1b77de --to hub --license mit   a folder with weights, config and model card\n\n"
    "What was written is read again by the format's own reader and compared on images before it takes its place."
)
OPTIONS = (
    Flag(("--to",), "", str, "Format: {pipeline.formats.FORMATS}."),
    Flag(("--out",), "", Path, "File to write, or folder (hub); default: the run's id with the format's ending."),
    Flag(("--batch",), "", int, "Images per batch; default: any number (onnx, torch).", minimum=1),
    Flag(("--no-fold",), "", bool, "Keep batch norms instead of folding them into the layers before them (onnx)."),
    Flag(("--sparse",), "", bool, "Store weights as sparse initializers where that is smaller (onnx)."),
    Flag(("--opset",), "", int, "Version of the operators; default: 18 (onnx)."),
    Flag(("--license",), "", str, "License named in the model card, such as apache-2.0 (hub)."),
    Flag(("--images",), "", list, "Pictures, folders or .npz files to compare with; default: validation images."),
    DATA_DIR,
    THREADS,
)


@add_flags(OPTIONS)
def command(
    run: Annotated[str, typer.Argument(help="Folder of a finished run, or a published network.")],
    *,
    to: str | None,
    out: Path | None,
    batch: int | None,
    no_fold: bool,
    sparse: bool,
    opset: int | None,
    license: str | None,
    images: list[str] | None,
    data_dir: Path,
    threads: int | None,
) -> None:
    """Exports, checks and prints what was written and how much it differs."""
    from rarefy.cli._console import show_warnings
    from rarefy.errors import InvalidInput
    from rarefy.pipeline import export
    from rarefy.registry import read_names

    if to is None:
        raise InvalidInput(f"Name a format with --to: {', '.join(read_names('pipeline.formats.FORMATS'))}.")
    show_warnings()
    use_threads(threads)
    flags = {"batch": batch, "fold": False if no_fold else None, "sparse": sparse or None, "opset": opset}
    options: dict[str, Any] = {name: v for name, v in {**flags, "license": license}.items() if v is not None}
    _show(export(run, to, out, images=images or (), data_dir=data_dir, **options))


def _show(report: ExportReport) -> None:
    from rarefy.cli._console import console, percent, table

    rows = [
        ("written", str(report.path)),
        ("size", f"{report.bytes:,} bytes"),
        ("read again by", report.reader),
        ("compared on", f"{report.images} images: {report.source}"),
        ("largest difference of a logit", f"{report.difference:.3g}"),
        ("same class", percent(report.agreement)),
    ]
    if report.remark:
        rows.insert(2, ("of these", report.remark))
    console().print(table(None, ("export", ""), rows))
