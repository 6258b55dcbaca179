"""Exports a trained network to a file that others read, and checks it with their reader."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rarefy import engines
from rarefy.errors import InvalidInput
from rarefy.paths import RunPaths, replace_file
from rarefy.pipeline._comparison_images import choose_images
from rarefy.pipeline._load_run import TrainedNetwork, load_run
from rarefy.pipeline.formats import FORMATS, ExportFailed, Format

_TOLERANCE = 1e-3  # of the largest logit; rounding in another order makes 1e-6 to 1e-5


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was exported, and how it compares with the network.

    Args:
        path: The file or folder.
        bytes: Its size.
        remark: What the format has to say.
        reader: What read it again.
        images: Number of images compared.
        source: Where they come from.
        difference: Largest difference of a logit.
        agreement: Fraction of the images with the same class.

    Example:
        >>> ExportReport(Path("a.onnx"), 10, "", "onnxruntime", 64, "validation images", 1e-6, 1.0).agreement
        1.0
    """

    path: Path
    bytes: int
    remark: str
    reader: str
    images: int
    source: str
    difference: float
    agreement: float


def export(
    run: TrainedNetwork | Path | str,
    to: str,
    path: Path | str | None = None,
    *,
    images: Sequence[Path | str] = (),
    data_dir: Path | str = "data",
    **options: Any,
) -> ExportReport:
    """Exports a trained network. It is written beside its place, read again, compared and then renamed.

    Args:
        run: A run's folder, or what `load_run` returned.
        to: The format: ``onnx``, ``torch`` (an ExportedProgram), ``safetensors`` (dense) or ``hub`` (a folder for the
            Hugging Face hub).
        path: The file, or for ``hub`` the folder; default: the run's id with the format's ending, in this folder.
        images: Pictures, folders or ``.npz`` files to compare with, as for `predict_files`; default: validation images
            of the run's data, or, if these are not there, random ones.
        data_dir: Folder of the data sets.
        **options: Options of the format.

    Returns:
        Path, size and largest difference.

    Raises:
        MissingPackage: If a package of the format is not installed; before any work.
        UnknownName: If there is no such format; UnknownOption: if it has no such option.
        ExportFailed: If the network cannot be exported, or gives other results after it was read again.

    Example:
        >>> import tempfile, rarefy
        >>> config = rarefy.Config.from_values({"data": "digits", "model": "mlp_16", "training": {"epochs": 1}})
        >>> out = Path(tempfile.mkdtemp())
        >>> record = rarefy.run(config, out=out)
        >>> report = export(out / record.id, "safetensors", out / "dense.safetensors")
        >>> report.difference, report.source
        (0.0, 'validation images of digits')
    """
    method = FORMATS.build(to, **options)
    method.require_packages()
    network = run if isinstance(run, TrainedNetwork) else load_run(run, data_dir=data_dir)
    network = dataclasses.replace(network, model=engines.make_dense_copy(network.model).cpu().eval())
    target = Path(path) if path is not None else Path(f"{network.record.id}{method.ending}")
    _check_target(target, method, network)
    pixels, source = choose_images(network, images, Path(data_dir))
    with _replace(target, is_folder=not method.ending.startswith(".")) as partial:
        remark = method.write(network, partial)
        difference, agreement = _compare(method, partial, network, pixels)
    return ExportReport(
        target, _measure_size(target), remark, method.reader, len(pixels), source, difference, agreement
    )


def _check_target(target: Path, method: Format, network: TrainedNetwork) -> None:
    """Raises InvalidInput if the target is of the wrong kind, or a file of the run itself."""
    is_file = method.ending.startswith(".")
    if is_file and target.is_dir():
        raise InvalidInput(f"{target} is a folder; name a file, such as {target / ('network' + method.ending)}.")
    if is_file and target.suffix != method.ending:
        raise InvalidInput(f"A file of this format ends with {method.ending}; got {target.name!r}.", value=target)
    if not is_file and target.exists() and not target.is_dir():
        raise InvalidInput(f"{target} is a file; this format is a folder.")
    own = RunPaths(network.folder)
    if target.resolve() in (own.model.resolve(), own.folder.resolve()):
        raise InvalidInput(f"{target} is the run's own; an export would replace its weights. Name another path.")


@contextlib.contextmanager
def _replace(target: Path, *, is_folder: bool) -> Iterator[Path]:
    """Gives a temporary path next to `target`; on success its file, or its files one by one, take their places."""
    if not is_folder:
        with replace_file(target) as partial:
            yield partial
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
            yield Path(name)
            for source in sorted(path for path in Path(name).rglob("*") if path.is_file()):
                with replace_file(target / source.relative_to(name)) as partial:
                    shutil.copyfile(source, partial)
    except OSError as error:
        if error.filename is None:  # a full disk says no name
            error.filename = str(target)
        raise


@torch.no_grad()
def _compare(method: Format, path: Path, network: TrainedNetwork, pixels: Tensor) -> tuple[float, float]:
    """Compares the logits of the written network with the original's: largest difference, agreement of classes."""
    images = network.preprocess(pixels)
    read: Callable[[Tensor], Tensor] = method.read(path, network)
    pairs = [(read(batch), network.model(batch)) for batch in _split(images, method.batch)]
    actual, expected = (torch.cat(logits) for logits in zip(*pairs, strict=True))
    difference = (actual - expected).abs().max().item()
    if not difference <= _TOLERANCE * max(1.0, expected.abs().max().item()):
        raise ExportFailed(
            f"Read again by {method.reader}, the network gives other logits: they differ by {difference:.3g}, the "
            f"largest is {expected.abs().max().item():.3g}. Nothing was written.",
            difference=difference,
        )
    return difference, (actual.argmax(1) == expected.argmax(1)).float().mean().item()


def _split(images: Tensor, batch: int) -> list[Tensor]:
    """Splits images into batches of a fixed size, repeating some to fill the last; of any size into 1 and the rest."""
    if not batch:
        return [part for part in (images[:1], images[1:]) if len(part)]
    count = -(-len(images) // batch) * batch
    return list(torch.split(images[torch.arange(count) % len(images)], batch))


def _measure_size(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
