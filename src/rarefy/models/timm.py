"""Networks of timm, untrained: ``timm/<name>``."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from torch import nn

from rarefy.models import _zoo
from rarefy.models._build import MODELS


@MODELS.register("timm")
@dataclasses.dataclass(frozen=True)
class Timm:
    """A network of timm with its own initial weights; nothing is downloaded.

    Args:
        architecture: Name of the network in timm, without the tag of pretrained weights.

    Raises:
        ValueError: If timm is not installed or has no such network.

    Example:
        >>> net = Timm("resnet18")(in_channels=1, classes=100, size=(64, 64))
        >>> tuple(net.conv1.weight.shape), tuple(net.fc.weight.shape)
        ((64, 1, 7, 7), (100, 512))
    """

    architecture: str

    title: ClassVar[str] = "{architecture} (timm)"
    pattern: ClassVar[str] = r"timm/(?P<architecture>.+)"
    form: ClassVar[str] = "timm/<name>"
    examples: ClassVar[tuple[str, ...]] = ("timm/resnet18", "timm/vit_tiny_patch16_224")

    def __post_init__(self) -> None:
        name = _zoo.match_architecture("timm", self.architecture, _zoo.import_package("timm").list_models())
        object.__setattr__(self, "architecture", name)

    @property
    def name(self) -> str:
        """Such as ``timm/resnet18``."""
        return f"timm/{self.architecture}"

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds the network; one that takes a single image size (vision transformers) is built for this size."""
        timm = _zoo.import_package("timm")
        options: dict[str, Any] = {"in_chans": in_channels, "num_classes": classes}
        if timm.models.get_pretrained_cfg_value(self.architecture, "fixed_input_size"):
            options["img_size"] = size
        net: nn.Module = timm.create_model(self.architecture, pretrained=False, **options)
        return net
