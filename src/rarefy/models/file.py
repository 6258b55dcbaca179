"""Networks of your own: ``FILE.py:NAME``."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
import yaml
from torch import nn

from rarefy.errors import InvalidInput, PluginError, RarefyError, UnknownName, UnknownOption
from rarefy.models._build import MODELS
from rarefy.models._user_file import allow_file, explain_errors, import_file, is_allowed, read_digest, search_folder

_DIGITS = 12
_GIVEN = {
    "in_channels": ("in_channels", "channels", "in_chans"),
    "classes": ("classes", "num_classes", "n_classes"),
    "size": ("size", "image_size", "img_size"),
}


class ModelFileChanged(RarefyError):
    """A Python file that is not the one a run was trained with.

    Attributes:
        path: The file.
        known: First digits of the SHA-256 of the file that the run was trained with.
        found: Those of the present one.
    """

    path: Path
    known: str
    found: str


@MODELS.register("file")
@dataclasses.dataclass(frozen=True)
class UserModel:
    r"""A network of yours: a class or function in a Python file that returns an ``nn.Module``.

    It is called with those of its parameters that are named ``in_channels`` (or ``channels``, ``in_chans``),
    ``classes`` (``num_classes``, ``n_classes``) and ``size`` (``image_size``, ``img_size``; height and width). Other
    arguments are written behind the name: ``net.py:Net:width=32``. Images ``[N, in_channels, *size]`` come in, logits
    ``[N, classes]`` go out.

    The first digits of the file's SHA-256 are part of the name in a run's config, behind ``@``: another content is
    another run, and a finished run is loaded only with the file it was trained with.

    Args:
        file: The Python file, relative to the working folder or absolute.
        attribute: Name of the class or function in it.
        options: Other arguments: ``width=32:depth=4``; values are read as YAML.
        digest: First digits of the SHA-256 of the file; empty: of the file as it is.

    Raises:
        MissingFile: If there is no such file.
        UnknownName: If it has no such class or function; names those that it has.
        UnknownOption: If an option is none of its parameters.
        ModelFileChanged: If its content is another one.
        PluginError: If its code raises an error, or what it makes is no network for such images.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "net.py"
        >>> _ = file.write_text("from torch import nn\ndef make(classes):\n    return nn.Sequential(nn.Flatten(), "
        ...     "nn.Linear(12, classes))\n")
        >>> UserModel(file.as_posix(), "make")(in_channels=3, classes=5, size=(2, 2))[1].out_features
        5
    """

    file: str
    attribute: str = ""
    options: str = ""
    digest: str = ""

    pattern: ClassVar[str] = (
        r"(?P<file>.+\.py)(:(?P<attribute>\w+)(:(?P<options>[^@]+?))?)?(@(?P<digest>[0-9a-f]{12}))?"
    )
    form: ClassVar[str] = "FILE.py:NAME"
    examples: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        path = Path(self.file).expanduser()
        digest = read_digest(path)
        if self.digest and not digest.startswith(self.digest):
            raise ModelFileChanged(
                f"{self.file} has changed: its SHA-256 begins with {digest[:_DIGITS]}, that of the file which the run "
                f"was trained with begins with {self.digest}. Bring that file back, or train again: {self.file}:"
                f"{self.attribute} as it is now is another run.",
                path=path,
                known=self.digest,
                found=digest[:_DIGITS],
            )
        object.__setattr__(self, "file", Path(self.file).as_posix())
        object.__setattr__(self, "digest", digest[:_DIGITS])
        allow_file(digest)
        self._find_builder()

    @property
    def name(self) -> str:
        """Such as ``net.py:Net@3f2a9c1b77de``."""
        options = f":{self.options}" if self.options else ""
        return f"{self.file}:{self.attribute}{options}@{self.digest}"

    def __call__(self, in_channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
        """Calls the class or function, and tries the network on two images."""
        path, builder = Path(self.file).expanduser(), self._find_builder()
        offered = {"in_channels": in_channels, "classes": classes, "size": size}
        arguments = self._choose_arguments(builder, offered)
        shown = f"{self.attribute}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
        with search_folder(path), explain_errors(path, shown):
            network = builder(**arguments)
        if not isinstance(network, nn.Module):
            raise PluginError(
                f"{path}: {shown} returned {type(network).__name__}, not a torch.nn.Module.", plugin=str(path)
            )
        with search_folder(path), explain_errors(path, f"its network, given images {[2, in_channels, *size]},"):
            logits = _try_forward(network, torch.zeros(2, in_channels, *size))
        if getattr(logits, "shape", None) != (2, classes):
            found = list(logits.shape) if hasattr(logits, "shape") else type(logits).__name__
            raise PluginError(
                f"{path}: the network of {shown} returns {found} for images {[2, in_channels, *size]}; it returns "
                f"logits {[2, classes]}, one a class.",
                plugin=str(path),
            )
        return network

    def _find_builder(self) -> Callable[..., Any]:
        """Imports the file and finds the class or function; raises UnknownName if there is none of that name."""
        module = import_file(Path(self.file).expanduser(), self.digest)
        builder: Any = getattr(module, self.attribute, None) if self.attribute else None
        if callable(builder) and not isinstance(builder, nn.Module):
            return builder  # type: ignore[no-any-return]
        raise self._make_unknown_error(module)

    def _make_unknown_error(self, module: ModuleType) -> UnknownName:
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        known = tuple(name for name in own if callable(getattr(module, name)) and not name.startswith("_"))
        wanted = f"no class or function {self.attribute!r}" if self.attribute else "names, and one has to be given"
        near = difflib.get_close_matches(self.attribute, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        forms = ", ".join(f"{self.file}:{name}" for name in known) or "nothing that makes a network"
        return UnknownName(
            f"{self.file} has {wanted}.{hint} There is: {forms}.", kind="model", name=self.attribute, known=known
        )

    def _choose_arguments(self, builder: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
        """Chooses what to call the builder with; raises UnknownOption if an option is unknown or one is missing."""
        parameters = inspect.signature(builder).parameters
        options = _parse_options(self.options)
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
        known = ", ".join(parameters) or "none"
        for option in options:
            if option not in parameters and not takes_any:
                raise UnknownOption(f"{self.attribute} has no parameter {option!r}. It has: {known}.", option=option)
        spellings = {spelling: offered[name] for name, names in _GIVEN.items() for spelling in names}
        arguments = {name: spellings[name] for name in parameters if name in spellings} | options
        needed = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in parameters.items():
            if name not in arguments and parameter.default is parameter.empty and parameter.kind in needed:
                raise UnknownOption(
                    f"{self.attribute} needs {name!r}, and is given what it names of in_channels, classes and size. "
                    f"Write other arguments behind its name: {self.file}:{self.attribute}:{name}=...",
                    option=name,
                )
        return arguments


def require_allowed(name: str) -> None:
    """Raises if a name from a record is that of a Python file which this user has not named on this machine.

    Loading a network of a file runs its code, which a run that somebody sent could bring along.

    Args:
        name: A model's name.

    Raises:
        InvalidInput: If the file has not been named here.
        MissingFile: If there is no such file.

    Example:
        >>> require_allowed("cifar_resnet_20_16")
    """
    match = re.fullmatch(UserModel.pattern, name)
    if match and not is_allowed(read_digest(Path(match["file"]).expanduser())):
        raise InvalidInput(
            f"The run's network is the code of {match['file']}, and loading it runs this file, which nobody has named "
            "on this machine yet. If you know it, name it once: rarefy densities "
            f"{match['file']}:{match['attribute'] or 'NAME'}",
            name="model",
            value=name,
        )


def _parse_options(text: str) -> dict[str, Any]:
    """Reads ``width=32:depth=4``."""
    pairs = [option.partition("=") for option in text.split(":") if option]
    for name, equals, _ in pairs:
        if not equals or not name.isidentifier():
            raise UnknownOption(f"An argument is written name=value, as in net.py:Net:width=32; got {name!r}.")
    return {name: yaml.safe_load(value) for name, _, value in pairs}


@torch.no_grad()
def _try_forward(network: nn.Module, images: torch.Tensor) -> Any:
    """Computes what the network returns, in evaluation mode so that no statistics change."""
    try:
        return network.eval()(images)
    finally:
        network.train()
