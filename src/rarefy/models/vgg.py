"""VGG networks with batch norm for small images: ``vgg11``, ``vgg13``, ``vgg16``, ``vgg19``."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import nn

from rarefy.errors import InvalidInput
from rarefy.models._build import MODELS

_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_SMALLEST = 16


@MODELS.register("vgg")
@dataclasses.dataclass(frozen=True)
class Vgg:
    """Five stages of 3x3 convolutions with batch norm, the image halved between them, and one linear layer.

    The last stage is averaged over what is left of the image, which at 32x32 is the paper's 2x2 average pool.
    Convolutions (without bias) are drawn from N(0, 2 / fan_out) and the linear layer from N(0, 0.01^2); its bias starts
    at 0, as in the paper's code.

    Args:
        depth: Layers with weights in the original network: 11, 13, 16 or 19; two of them are left out here.

    Raises:
        ValueError: If the depth is none of these, or, when called, if the images are smaller than 16x16.

    Example:
        >>> net = Vgg(depth=11)(in_channels=3, classes=10, size=(32, 32))
        >>> sum(isinstance(layer, nn.Conv2d) for layer in net.modules())
        8

    References:
        Simonyan and Zisserman, 2015, arXiv:1409.1556, table 1. Liu et al., 2022, arXiv:2202.02643.
    """

    depth: int

    title: ClassVar[str] = "VGG-{depth}"
    pattern: ClassVar[str] = r"vgg_?(?P<depth>\d+)"
    form: ClassVar[str] = "vgg<depth>"
    examples: ClassVar[tuple[str, ...]] = tuple(f"vgg{depth}" for depth in _CONVOLUTIONS)

    def __post_init__(self) -> None:
        if self.depth not in _CONVOLUTIONS:
            nearest = min(_CONVOLUTIONS, key=lambda depth: abs(depth - self.depth))
            raise InvalidInput(
                f"the depth must be 11, 13, 16 or 19; got {self.depth}, the nearest is {nearest}",
                name="depth",
                value=self.depth,
            )

    @property
    def name(self) -> str:
        """Such as ``vgg11``."""
        return f"vgg{self.depth}"

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds the network: ``features`` and ``classifier``."""
        if min(size) < _SMALLEST:
            raise InvalidInput(
                f"{self.name} halves an image four times and needs at least {_SMALLEST}x{_SMALLEST} pixels; "
                f"got {size[0]}x{size[1]}. For smaller images take cifar_resnet_<depth> or mlp_<width>."
            )
        return _Network(in_channels, classes, _CONVOLUTIONS[self.depth])


class _Network(nn.Sequential):
    def __init__(self, in_channels: int, classes: int, convolutions: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = in_channels
        for stage, (outputs, count) in enumerate(zip(_CHANNELS, convolutions, strict=True)):
            if stage > 0:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [_build_convolution(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(inputs, classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)


def _build_convolution(inputs: int, outputs: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
