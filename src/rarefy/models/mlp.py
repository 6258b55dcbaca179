"""Fully connected networks: ``mlp_<width>_<width>...``."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import OrderedDict
from typing import ClassVar

from torch import nn

from rarefy.errors import InvalidInput
from rarefy.models._build import MODELS
from rarefy.models._init import initialise_weights
from rarefy.models._memory import require_memory

_MOST_LAYERS, _WIDEST = 1000, 2**24


@MODELS.register("mlp")
@dataclasses.dataclass(frozen=True)
class Mlp:
    """Linear layers with ReLU between them, on all pixels of an image. Weights are drawn by ``initialise_weights``.

    Args:
        widths: Units of each hidden layer.

    Raises:
        ValueError: If there is no hidden layer, or one without units.

    Example:
        >>> net = Mlp(widths=(300, 100))(in_channels=1, classes=10, size=(28, 28))
        >>> [tuple(layer.weight.shape) for layer in net if isinstance(layer, nn.Linear)]
        [(300, 784), (100, 300), (10, 100)]
    """

    widths: tuple[int, ...]

    title: ClassVar[str] = "MLP {widths}"
    pattern: ClassVar[str] = r"mlp_?(?P<widths>\d+(_\d+)*)"
    form: ClassVar[str] = "mlp_<width>[_<width>...]"
    examples: ClassVar[tuple[str, ...]] = ("mlp_32_32", "mlp_300_100")

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise InvalidInput(
                f"it needs at least one hidden layer, each at least 1 wide, as in mlp_300_100; got {self.widths}",
                name="widths",
                value=self.widths,
            )
        if len(self.widths) > _MOST_LAYERS or max(self.widths) > _WIDEST:
            raise InvalidInput(
                f"it has at most {_MOST_LAYERS} hidden layers, each at most {_WIDEST} wide; got {len(self.widths)}, "
                f"the widest of {max(self.widths)}"
            )

    @property
    def name(self) -> str:
        """Such as ``mlp_300_100``."""
        return "_".join(["mlp", *map(str, self.widths)])

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds the network; its linear layers are called ``fc1``, ``fc2``, ..."""
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        sizes = [in_channels * math.prod(size), *self.widths, classes]
        require_memory(self.name, sum(map(math.prod, itertools.pairwise(sizes))))
        for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
            layers[f"fc{index}"] = nn.Linear(inputs, outputs)
            if index <= len(self.widths):
                layers[f"relu{index}"] = nn.ReLU()
        net = nn.Sequential(layers)
        initialise_weights(net)
        return net
