"""Models by name: ``parse`` reads a name into a family with options, ``build`` makes the ``nn.Module``."""

from __future__ import annotations

import difflib
import re
import typing
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.registry import Registry, UnknownName, UnknownOption, construct, normalize_name


class Model(Protocol):
    """A family of networks with its options set: a frozen dataclass whose fields are the options.

    Attributes:
        pattern: Regular expression of the family's names, lower case, ``_`` for ``-``; its named groups are fields.
        form: How a name is written, for people: ``"cifar_resnet_<depth>[_<width>]"``.
        examples: Names that work, the nearest of which is suggested for one that does not.
    """

    pattern: ClassVar[str]
    form: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str:
        """The canonical name of this model: ``parse(model.name) == model``."""
        ...

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Builds a network for images ``[N, in_channels, *size]`` and logits ``[N, classes]``.

        Initial weights come from torch's own CPU generator, which ``build`` has seeded.
        """
        ...


_LARGEST, _MOST_CLASSES = 2**16, 2**24

MODELS: Registry[Model] = Registry("model", "models")


def parse(name: str, **options: Any) -> Model:
    """Parses the name of a model; case, ``-`` and ``_`` do not matter.

    Args:
        name: Such as ``cifar_resnet_20``, ``vgg11``, ``mlp_300_100``, ``torchvision/resnet18``, ``timm/resnet18``, or
            ``FILE.py:NAME`` for a class or function of yours.
        **options: Options of the family that the name does not state.

    Raises:
        UnknownName: If no family has such names; says which forms there are.
        UnknownOption: If a number in the name or an option does not fit the family, or is given twice.

    Example:
        >>> parse("CIFAR-ResNet-20")
        CifarResNet(depth=20, width=16)
        >>> parse("cifar_resnet_20", width=8).name
        'cifar_resnet_20_8'
    """
    as_given = name.strip()
    for text in (as_given, as_given.lower().replace("-", "_")):  # a file's name is taken as it is
        for family in _list_families():
            if match := re.fullmatch(family.pattern, text):
                stated = _parse_options(family, match)
                for option in stated.keys() & options.keys():
                    raise UnknownOption(
                        f"The model {name!r} states its {option!r} in the name and as an option; drop one."
                    )
                model: Model = construct(family, f"model {name!r}", stated | options)
                return model
    raise _make_unknown_error(name)


def build(
    model: Model,
    *,
    in_channels: int = 3,
    classes: int = 10,
    size: tuple[int, int] = (32, 32),
    generator: torch.Generator,
) -> nn.Module:
    """Builds a model on the CPU, with initial weights that are a function of the generator alone.

    Every family draws from torch's CPU generator as any PyTorch code does, the initialisers of torchvision and timm
    included. Here that generator is seeded by one number drawn from ``generator`` and put back as it was afterwards.

    Args:
        model: What to build, from ``parse``.
        in_channels: Channels of the images.
        classes: Number of logits.
        size: Height and width of the images, in pixels.
        generator: Where the initial weights come from; advances by one number.

    Returns:
        A module in training mode that takes images ``[N, in_channels, *size]`` and returns logits ``[N, classes]``.

    Raises:
        ValueError: If a number is not positive, or the model cannot take such images.

    Example:
        >>> net = build(parse("cifar_resnet_20"), generator=torch.Generator().manual_seed(17))
        >>> sum(parameter.numel() for parameter in net.parameters())
        272474
    """
    if min(in_channels, classes, *size) < 1:
        raise InvalidInput(f"{model.name} needs positive numbers; got {in_channels=}, {classes=}, {size=}.")
    if max(in_channels, *size) > _LARGEST or classes > _MOST_CLASSES:
        raise InvalidInput(
            f"An image has at most {_LARGEST} channels and {_LARGEST} pixels a side, and belongs to one of at most "
            f"{_MOST_CLASSES} classes; got {in_channels=}, {classes=}, {size=}."
        )
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    # torch.manual_seed would seed every accelerator too; only the CPU's generator is borrowed.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return model(in_channels, classes, size)


def _list_families() -> list[type[Model]]:
    return [typing.cast(type[Model], MODELS.get(family)) for family in MODELS.names()]


def _parse_options(family: type[Model], match: re.Match[str]) -> dict[str, Any]:
    """Reads fields from a matched name; ``32_32`` is split where the field is a tuple."""
    hints = typing.get_type_hints(family)
    texts = {field: text for field, text in match.groupdict().items() if text is not None}
    return {
        field: text.split("_") if typing.get_origin(hints[field]) is tuple else text for field, text in texts.items()
    }


def _make_unknown_error(name: str) -> UnknownName:
    families = _list_families()
    by_key = {normalize_name(example): example for family in families for example in family.examples}
    near = difflib.get_close_matches(normalize_name(name), list(by_key), n=1)
    hint = f" Did you mean {by_key[near[0]]!r}?" if near else ""
    return UnknownName(f"Unknown model {name!r}.{hint} Known forms: {', '.join(family.form for family in families)}.")
