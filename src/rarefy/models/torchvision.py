"""Classification networks of torchvision, untrained: ``torchvision/<name>``."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from torch import nn

from rarefy.errors import InvalidInput
from rarefy.models import _zoo
from rarefy.models._build import MODELS


@MODELS.register("torchvision")
@dataclasses.dataclass(frozen=True)
class Torchvision:
    """A classification network of torchvision with its own initial weights; nothing is downloaded.

    Args:
        architecture: Name of the network in torchvision.

    Raises:
        ValueError: If torchvision is not installed or has no such network, or, when called, if the images are not RGB.

    Example:
        >>> net = Torchvision("ResNet-18")(in_channels=3, classes=100, size=(64, 64))
        >>> tuple(net.fc.weight.shape)
        (100, 512)
    """

    architecture: str

    title: ClassVar[str] = "{architecture} (torchvision)"
    pattern: ClassVar[str] = r"torchvision/(?P<architecture>.+)"
    form: ClassVar[str] = "torchvision/<name>"
    examples: ClassVar[tuple[str, ...]] = (
        "torchvision/resnet18",
        "torchvision/resnet50",
        "torchvision/wide_resnet50_2",
    )

    def __post_init__(self) -> None:
        networks = _zoo.import_package("torchvision.models")
        name = _zoo.match_architecture("torchvision", self.architecture, networks.list_models(module=networks))
        object.__setattr__(self, "architecture", name)

    @property
    def name(self) -> str:
        """Such as ``torchvision/resnet18``."""
        return f"torchvision/{self.architecture}"

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds the network; vision transformers are built for this image size."""
        if in_channels != 3:
            raise InvalidInput(
                f"{self.name} takes images of 3 channels; got {in_channels}. "
                "Networks that take any number: timm/<name>, cifar_resnet_<depth>."
            )
        options: dict[str, Any] = {}
        if self.architecture in ("googlenet", "inception_v3"):
            # Otherwise they return a tuple while training, and warn that their initialisation will change.
            options = {"aux_logits": False, "init_weights": True}
        if self.architecture.startswith("vit_"):
            options = {"image_size": _require_square(self.name, size)}
        net: nn.Module = _zoo.import_package("torchvision.models").get_model(
            self.architecture, weights=None, num_classes=classes, **options
        )
        return net


def _require_square(name: str, size: tuple[int, int]) -> int:
    if size[0] != size[1]:
        raise InvalidInput(f"{name} takes square images; got {size[0]}x{size[1]}.")
    return size[0]
