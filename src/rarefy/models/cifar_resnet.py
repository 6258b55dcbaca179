"""The paper's residual networks for small images: ``cifar_resnet_<depth>[_<width>]``."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from rarefy.errors import InvalidInput
from rarefy.models._build import MODELS
from rarefy.models._init import initialise_weights
from rarefy.models._memory import require_memory

_DEEPEST = 3002


@MODELS.register("cifar_resnet")
@dataclasses.dataclass(frozen=True)
class CifarResNet:
    """Residual network of 6n + 2 layers: three stages of n basic blocks, W, 2W and 4W channels wide.

    Where the width changes, the shortcut is a 1x1 convolution with batch norm. Weights: ``initialise_weights``.

    Args:
        depth: Layers with weights, shortcuts not counted: 6n + 2.
        width: Channels W of the first stage.

    Raises:
        ValueError: If the depth is not 6n + 2 or the width not positive.

    Example:
        >>> net = CifarResNet(depth=20, width=8)(in_channels=1, classes=10, size=(8, 8))
        >>> sum(parameter.numel() for parameter in net.parameters())
        68642

    References:
        He et al., 2016, arXiv:1512.03385, section 4.2. Liu et al., 2022, arXiv:2202.02643.
    """

    depth: int
    width: int = 16

    title: ClassVar[str] = "ResNet-{depth}"
    pattern: ClassVar[str] = r"cifar_?resnet_?(?P<depth>\d+)(_(?P<width>\d+))?"
    form: ClassVar[str] = "cifar_resnet_<depth>[_<width>]"
    examples: ClassVar[tuple[str, ...]] = tuple(f"cifar_resnet_{depth}" for depth in (20, 32, 44, 56, 110))

    def __post_init__(self) -> None:
        blocks = max(1, round((self.depth - 2) / 6))
        if self.depth != 6 * blocks + 2:
            raise InvalidInput(
                f"the depth must be 6n + 2 (8, 14, 20, 26, 32, 38, 44, 50, 56, ..., 110, ...); "
                f"got {self.depth}, the nearest is {6 * blocks + 2}",
                name="depth",
                value=self.depth,
            )
        if self.depth > _DEEPEST:
            raise InvalidInput(f"the depth is at most {_DEEPEST}; got {self.depth}", name="depth", value=self.depth)
        if self.width < 1:
            raise InvalidInput(
                f"the width must be a whole number from 1 on (the paper's are 8, 16 and 24); got {self.width}",
                name="width",
                value=self.width,
            )

    @property
    def name(self) -> str:
        """Always with the width: ``cifar_resnet_20_16``."""
        return f"cifar_resnet_{self.depth}_{self.width}"

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds the network; it takes images of any size, since the last stage is averaged over its positions."""
        blocks, width = (self.depth - 2) // 6, self.width
        weights = 9 * in_channels * width + 2 * blocks * 9 * (1 + 4 + 16) * width**2 + 4 * width * classes
        require_memory(self.name, weights)
        net = _Network(in_channels, classes, blocks=blocks, width=width)
        initialise_weights(net)
        return net


class _Network(nn.Module):
    def __init__(self, in_channels: int, classes: int, blocks: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _build_stage(blocks, width, width, stride=1)
        self.layer2 = _build_stage(blocks, width, 2 * width, stride=2)
        self.layer3 = _build_stage(blocks, 2 * width, 4 * width, stride=2)
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(images)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        logits: Tensor = self.fc(hidden.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(images))


def _build_stage(blocks: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    later = (_Block(outputs, outputs, stride=1) for _ in range(blocks - 1))
    return nn.Sequential(_Block(inputs, outputs, stride), *later)
