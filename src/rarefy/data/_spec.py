"""Shapes, classes and normalisation of a data set."""

from __future__ import annotations

import dataclasses
from typing import Literal

from torch import Tensor

from rarefy.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shapes, classes and normalisation of a data set: all that a model has to know.

    Args:
        name: The data set's registered name.
        classes: Number of classes; labels are 0 .. classes - 1.
        channels: Channels C of an image.
        height: Height H in pixels.
        width: Width W in pixels.
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
        class_names: A name for each label, or empty.
        resize: How `fit_picture` resizes a picture of another size: ``stretch`` (the aspect ratio is not kept), or
            ``crop`` (the shorter side to 256/224 of the square that is then cut from the middle).
        columns: Names of the columns of a table, one per channel, or empty.

    Raises:
        ValueError: If ``mean`` or ``std`` does not have one number per channel, or ``class_names`` one name per class.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.5,), std=(0.25,))
        >>> spec.normalize(torch.tensor([[[[0.5, 1.0]]]]))
        tensor([[[[0., 2.]]]])
    """

    name: str
    classes: int
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] = ()
    resize: Literal["stretch", "crop"] = "stretch"
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that there is one mean and one deviation per channel, and one name per class."""
        if not len(self.mean) == len(self.std) == self.channels:
            raise InvalidInput(
                f"{self.name} has {self.channels} channels but {len(self.mean)} means and {len(self.std)} deviations; "
                "give one of each a channel."
            )
        if self.class_names and len(self.class_names) != self.classes:
            raise InvalidInput(
                f"{self.name} has {self.classes} classes but {len(self.class_names)} class names; "
                "give one a class, or none."
            )

    @property
    def is_table(self) -> bool:
        """Whether an image is a row of numbers: one pixel, whose channels are the columns."""
        return self.height == self.width == 1

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalises pixels in [0, 1] to mean 0 and deviation 1 per channel: ``(pixels - mean) / std``.

        Args:
            pixels: Floating point, shape [N, C, H, W], in [0, 1], on any device.

        Returns:
            A new tensor of the same shape, dtype and device.
        """
        mean, std = (pixels.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std
