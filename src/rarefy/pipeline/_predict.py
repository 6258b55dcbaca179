"""Predicts the classes of pictures, folders of pictures and arrays with a trained network."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rarefy import data
from rarefy.errors import InvalidInput
from rarefy.pipeline._build import EVALUATION_BATCH
from rarefy.pipeline._folder import LOG
from rarefy.pipeline._load_run import TrainedNetwork

_PREFIXES = ("folder:", "npz:", "csv:")  # as in `rarefy train --data`


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """The probabilities of one image's classes.

    Args:
        image: Path of the picture; of an array or a table ``FILE[number]``, numbers from 0.
        probabilities: float32 ``[classes]``, on the CPU.
        class_names: A name for each class.

    Example:
        >>> Prediction("a.png", torch.tensor([0.25, 0.75]), ("cat", "dog")).rank(1)
        [('dog', 0.75)]
    """

    image: str
    probabilities: Tensor
    class_names: tuple[str, ...]

    def rank(self, count: int) -> list[tuple[str, float]]:
        """Lists the most probable classes and their probabilities, the most probable first."""
        values, labels = self.probabilities.topk(min(count, len(self.class_names)))
        return [(self.class_names[label], value) for label, value in zip(labels.tolist(), values.tolist(), strict=True)]


def predict_files(
    network: TrainedNetwork, paths: Sequence[Path | str], *, skip_bad_images: bool = False
) -> Iterator[Prediction]:
    """Predicts the class of each picture or image of an array.

    Pictures are decoded to RGB; for a network of grey images their luma is taken. Other sizes are resized by the rule
    of the network's data, ``network.spec.resize``: see `rarefy.data.Spec`.

    Args:
        network: What `load_run` returned.
        paths: Pictures, folders (all pictures below them), and ``.npz`` files of uint8 images (``FILE.npz:KEY`` for one
            of several arrays); for a network of a table, ``.csv`` files with its columns.
        skip_bad_images: Whether pictures that cannot be decoded are logged and left out, or an error.

    Yields:
        Predictions in the order of the paths, in a folder in the order of names.

    Raises:
        MissingData: If a path does not exist or a folder holds no picture; before anything is predicted.
        CorruptData: If a picture, an array or a table cannot be read.
        InvalidInput: If there is nothing to predict, or images have channels that cannot be converted.

    Example:
        >>> from rarefy.pipeline import load_run
        >>> network = load_run("cifar10/resnet20-erk-0.1")
        >>> list(predict_files(network, ["nowhere.png"]))
        Traceback (most recent call last):
        ...
        rarefy.data._errors.MissingData: nowhere.png cannot be read: No such file or directory.
    """
    images = read_images(network, paths, skip_bad_images=skip_bad_images)
    while batch := list(itertools.islice(images, EVALUATION_BATCH)):
        names, pixels = zip(*batch, strict=True)
        for name, row in zip(names, network.predict(torch.stack(pixels)), strict=True):
            yield Prediction(name, row, network.class_names)


def read_images(
    network: TrainedNetwork, paths: Sequence[Path | str], *, skip_bad_images: bool = False
) -> Iterator[tuple[str, Tensor]]:
    """Checks that all paths exist, and gives an iterator over the name and the pixels of each image."""
    files = [file for path in paths for file in _list_pictures(str(path))]
    if not files:
        raise InvalidInput("There is nothing to predict; name pictures, folders or .npz files.")
    return _convert_images(files, network, skip_bad_images)


def _list_pictures(name: str) -> list[Path]:
    """Lists the files that a path stands for; raises MissingData if there are none."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    path = Path(name)
    if not path.is_dir():
        _require_file(data.split_array_key(path)[0])
        return [path]
    listing = data.list_pictures(path)
    if not listing.pictures:
        content = f" It holds {data.describe_left_out(listing.left_out)}." if listing.left_out else ""
        raise data.MissingData(f"There is no picture below {data.show_path(path)}.{content}", path=path)
    return [path / picture for picture in listing.pictures]


def _require_file(path: Path) -> None:
    with data.open_file(path):
        pass


def _convert_images(paths: Iterable[Path], network: TrainedNetwork, skip_bad: bool) -> Iterator[tuple[str, Tensor]]:
    """Yields the name and the pixels, as the network takes them, of each image."""
    is_resized = False
    for path in paths:
        try:
            for name, pixels in _decode(path, network.spec):
                if not is_resized and pixels.shape[1:] != network.shape[1:]:
                    LOG.warning(_describe_resizing(network.spec))
                    is_resized = True
                is_ready = pixels.shape == network.shape and not _is_picture(path)
                yield name, pixels if is_ready else data.fit_picture(pixels, network.spec)
        except InvalidInput as error:
            error.add_note(f"The file is {data.show_path(path)}.")
            raise
        except data.CorruptData as error:
            if not _is_picture(path):
                raise
            if not skip_bad:
                error.add_note("--skip-bad-images leaves out pictures that cannot be decoded.")
                raise
            LOG.warning("left out: %s", error)


def _is_picture(path: Path) -> bool:
    return data.split_array_key(path)[0].suffix not in (".npz", ".csv")


def _decode(path: Path, spec: data.Spec) -> Iterator[tuple[str, Tensor]]:
    """Yields the name and the pixels of each image of a file; of a table its rows."""
    shown = data.show_path(path)
    if spec.is_table or path.suffix == ".csv":
        for number, row in enumerate(_read_table(path, spec)):
            yield f"{shown}[{number}]", row
    elif _is_picture(path):
        yield shown, data.read_picture(path)
    else:
        for number, pixels in enumerate(data.read_image_array(path, channels=spec.channels)):
            yield f"{shown}[{number}]", pixels


def _read_table(path: Path, spec: data.Spec) -> Tensor:
    """Reads the rows of a table, float32 [N, columns, 1, 1]."""
    if not spec.is_table:
        raise InvalidInput("The network takes images, and this is a table.", name="images", value=path)
    if path.suffix != ".csv" or not spec.columns:
        raise InvalidInput(
            f"The network takes rows of {spec.channels} numbers: name a .csv file with the columns it was trained on, "
            "or call network.predict(rows) from Python.",
            name="images",
            value=path,
        )
    return torch.from_numpy(data.read_columns(path, spec.columns))[:, :, None, None]


def _describe_resizing(spec: data.Spec) -> str:
    size = f"{spec.height} x {spec.width}"
    if spec.resize == "crop":
        return (
            f"pictures are resized (shorter side to 256/224 of {spec.height} pixels) and their central {size} is used"
        )
    return f"pictures of other sizes are stretched to {size} pixels"
