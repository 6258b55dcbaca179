"""The paper's residual networks for ImageNet: ``resnet<depth>`` and ``WideResNet<depth>_2``."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.models._build import MODELS

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_DEEP = 50  # from here on blocks are bottlenecks
_WIDE = (50, 101)


@MODELS.register("resnet")
@dataclasses.dataclass(frozen=True)
class ResNet:
    """Residual network of four stages; from 50 layers on of bottlenecks, whose 3x3 convolution has the stride.

    Parameters have torchvision's names. Batch norms start at 1 and 0, the linear layer as PyTorch draws it.

    Args:
        depth: 18, 34, 50, 101 or 152.
        width: 2 for bottlenecks of twice the width (50 and 101 only), else 1.
        init: Convolutions from N(0, 2 / fan_in), the paper's (``fanin``), or from N(0, 2 / fan_out) (``classic``).

    Raises:
        ValueError: If there is no network of that depth and width.

    Example:
        >>> net = ResNet(depth=18)(in_channels=3, classes=1000, size=(224, 224))
        >>> sum(parameter.numel() for parameter in net.parameters())
        11689512

    References:
        He et al., 2016, arXiv:1512.03385, table 1. Zagoruyko and Komodakis, 2016, arXiv:1605.07146. Liu et al., 2022,
        arXiv:2202.02643, ImageNet experiments.
    """

    depth: int
    width: int = 1
    init: Literal["fanin", "classic"] = "fanin"

    title: ClassVar[str] = "ResNet-{depth}"
    pattern: ClassVar[str] = r"(wide_?(?=.*\d_\d))?resnet_?(?P<depth>\d+)(_(?P<width>\d+))?(_(?P<init>fanin|classic))?"
    form: ClassVar[str] = "resnet<depth>, WideResNet<depth>_2"
    examples: ClassVar[tuple[str, ...]] = (
        *(f"resnet{depth}" for depth in _BLOCKS),
        *(f"WideResNet{depth}_2" for depth in _WIDE),
    )

    def __post_init__(self) -> None:
        if self.depth not in _BLOCKS:
            nearest = min(_BLOCKS, key=lambda depth: abs(depth - self.depth))
            raise InvalidInput(
                f"the depth must be 18, 34, 50, 101 or 152; got {self.depth}, the nearest is {nearest}",
                name="depth",
                value=self.depth,
            )
        if self.width not in ((1, 2) if self.depth in _WIDE else (1,)):
            raise InvalidInput(f"the width must be 1, or 2 with 50 or 101 layers; got {self.width} with {self.depth}")

    @property
    def name(self) -> str:
        """Such as ``resnet50`` or ``wideresnet50_2``; another initialisation than the paper's is named."""
        name = f"resnet{self.depth}" if self.width == 1 else f"wideresnet{self.depth}_{self.width}"
        return name if self.init == "fanin" else f"{name}_{self.init}"

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds the network; it takes images of any size, since the last stage is averaged over its positions."""
        net = _Network(in_channels, classes, self.depth, self.width)
        mode: Literal["fan_in", "fan_out"] = "fan_in" if self.init == "fanin" else "fan_out"
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        return net


class _Network(nn.Module):
    def __init__(self, in_channels: int, classes: int, depth: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks, inner = _BLOCKS[depth], 64 * width if depth >= _DEEP else None
        outputs = 64 if inner is None else 256
        self.layer1 = _build_stage(blocks[0], 64, outputs, 1, inner)
        self.layer2 = _build_stage(blocks[1], outputs, 2 * outputs, 2, inner and 2 * inner)
        self.layer3 = _build_stage(blocks[2], 2 * outputs, 4 * outputs, 2, inner and 4 * inner)
        self.layer4 = _build_stage(blocks[3], 4 * outputs, 8 * outputs, 2, inner and 8 * inner)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * outputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        logits: Tensor = self.fc(self.avgpool(hidden).flatten(1))
        return logits


class _Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = _build_shortcut(inputs, outputs, stride)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(images)))
        hidden = self.bn2(self.conv2(hidden))
        summed: Tensor = self.relu(hidden + (images if self.downsample is None else self.downsample(images)))
        return summed


class _Bottleneck(nn.Module):
    """1x1 to `inner` channels, 3x3, and 1x1 back."""

    def __init__(self, inputs: int, outputs: int, stride: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _build_shortcut(inputs, outputs, stride)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(images)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        hidden = self.bn3(self.conv3(hidden))
        summed: Tensor = self.relu(hidden + (images if self.downsample is None else self.downsample(images)))
        return summed


def _build_shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


def _build_stage(blocks: int, inputs: int, outputs: int, stride: int, inner: int | None) -> nn.Sequential:
    sizes = [(inputs, outputs, stride), *[(outputs, outputs, 1)] * (blocks - 1)]
    return nn.Sequential(*(_Basic(*size) if inner is None else _Bottleneck(*size, inner) for size in sizes))
