"""The one extension mechanism: named, configurable methods, looked up with errors that help.

A *method* is a class whose fields are its options (usually a frozen dataclass), registered under its file's name:

    @ALLOCATIONS.register("er")
    @dataclasses.dataclass(frozen=True)
    class ErdosRenyi: ...

A room's ``__init__`` calls ``discover``, which imports the room's files, so that there is no list to edit. Other
packages add methods through entry points:

    [project.entry-points."rarefy.allocations"]
    mine = "my_package.mine:Mine"

One that cannot be loaded is an error where it is named, and a warning where names are listed; no other name suffers.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import logging
import pkgutil
import re
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rarefy.errors import InvalidInput, PluginError, UnknownName, UnknownOption

__all__ = [
    "PluginError",
    "Registry",
    "UnknownName",
    "UnknownOption",
    "construct",
    "find_plugin",
    "make_unknown_error",
    "names_on_disk",
    "normalize_name",
    "parse_number",
]

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Method = TypeVar("Method", bound=type)
T_co = TypeVar("T_co", covariant=True)
_LOG = logging.getLogger(__name__)
_PLUGINS: dict[str, str] = {}  # package of others -> the method it registered, as a message names it


def find_plugin(error: BaseException) -> str | None:
    """Find the plug-in that raised an error itself: the innermost call is in the package that registered a method.

    Returns:
        Kind and name of the method, such as ``"allocation 'mine'"``; None where the error is nobody's plug-in's.

    Example:
        >>> find_plugin(ValueError("nobody's")) is None
        True
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return _PLUGINS.get(module.partition(".")[0])


def normalize_name(name: str) -> str:
    """The form in which names are compared: without case, ``-`` and ``_``.

    Example:
        >>> normalize_name("ERK_plus") == normalize_name("erk-plus")
        True
    """
    return name.lower().replace("-", "").replace("_", "")


def make_unknown_error(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name nobody knows, with the nearest known one.

    Example:
        >>> str(make_unknown_error("allocation", "erkk", ["er", "erk"]))
        "Unknown allocation 'erkk'. Did you mean 'erk'? Known: er, erk."
    """
    by_key = {normalize_name(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(normalize_name(name), list(by_key), n=1)
    hint = f" Did you mean {by_key[near[0]]!r}?" if near else ""
    names = tuple(sorted(by_key.values()))
    return UnknownName(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.", kind=kind, name=name, known=names)


def names_on_disk(room: str) -> list[str]:
    """Names of what a room holds, methods or YAML files, read from its file names.

    Imports nothing, so that ``--help`` stays quick.

    Example:
        >>> "erk" in names_on_disk("allocation")
        True
    """
    folder = Path(__file__).parent / room
    modules = (module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))
    return sorted([*modules, *(file.stem for file in folder.glob("*.yaml"))])


class Registry(Generic[T_co]):
    """Names of one kind of method.

    Args:
        kind: What the methods are, in the singular, for messages: ``"allocation"``.
        group: Entry point group through which other packages add methods, without ``rarefy.``: ``"allocations"``.

    Example:
        >>> schedules = Registry("schedule", "schedules")
        >>> @schedules.register("constant")
        ... @dataclasses.dataclass(frozen=True)
        ... class Constant:
        ...     value: float = 1.0
        >>> schedules.build("Constant", value=0.5)
        Constant(value=0.5)
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self._group = f"rarefy.{group}"
        self._methods: dict[str, tuple[str, type]] = {}
        self._told: set[str] = set()

    def register(self, name: str) -> Callable[[Method], Method]:
        """Registers a class under a name; a name that another class has raises InvalidInput."""

        def add(method: Method) -> Method:
            taken = self._methods.get(normalize_name(name))
            if taken is not None and taken[1] is not method:
                raise InvalidInput(
                    f"The {self.kind} {name!r} is taken by {taken[1].__module__}.{taken[1].__qualname__}."
                )
            self._methods.setdefault(normalize_name(name), (name, method))
            package = method.__module__.partition(".")[0]
            if package != __package__:
                _PLUGINS.setdefault(package, f"{self.kind} {name!r}")
            return method

        return add

    def discover(self, package: str) -> None:
        """Imports every public module of a package, so that its methods register themselves."""
        spec = importlib.util.find_spec(package)
        for module in pkgutil.iter_modules(spec.submodule_search_locations if spec else None):
            if not module.name.startswith("_"):
                importlib.import_module(f"{package}.{module.name}")

    def names(self) -> list[str]:
        """Lists the registered names, sorted; warns once of a plug-in that cannot be loaded and leaves it out."""
        for name in list(self._pending):
            self._try_to_load(name)
        return sorted(name for name, _ in self._methods.values())

    def get(self, name: str) -> type:
        """Gives the class registered under a name.

        Raises:
            UnknownName: If there is none; says the nearest known one.
            PluginError: If it is a plug-in's, which cannot be loaded.
        """
        if normalize_name(name) in self._methods:
            self._try_to_load(normalize_name(name))
        elif normalize_name(name) in self._pending:
            self._load(normalize_name(name))
        if normalize_name(name) not in self._methods:
            raise make_unknown_error(self.kind, name, self.names())
        return self._methods[normalize_name(name)][1]

    def name_of(self, method: object) -> str:
        """Gives the name a method's class is registered under; raises UnknownName if it is not registered."""
        kind = type(method)
        if all(cls is not kind for _, cls in self._methods.values()):
            self.names()  # loads the plug-ins
        for name, cls in self._methods.values():
            if cls is kind:
                return name
        raise UnknownName(f"{kind.__qualname__} is not a registered {self.kind}. Known: {', '.join(self.names())}.")

    def build(self, name: str, **options: Any) -> T_co:
        """Builds the method of that name with options, each checked against the type of its field.

        Raises:
            UnknownName: If no such method is registered.
            UnknownOption: If an option is not a field of the method, or its value does not fit.
        """
        return typing.cast(T_co, construct(self.get(name), f"{self.kind} {name!r}", options))

    def parse(self, text: str) -> T_co:
        """Builds the method that a person spells in one word: ``pgd:steps=50:eps=8/255``.

        Raises:
            UnknownName: If no such method is registered.
            UnknownOption: If an option is not ``name=value``, not a field of the method, or its value does not fit.
        """
        name, *options = text.split(":")
        pairs = [option.partition("=") for option in options]
        for option, (_, equals, _) in zip(options, pairs, strict=True):
            if not equals:
                raise UnknownOption(f"An option is spelled name=value, as in {name}:option=1; {option!r} came.")
        quotient = re.compile(r"[\d.]+/[\d.]+")
        values = {o.strip(): parse_number(v) if quotient.fullmatch(v.strip()) else v.strip() for o, _, v in pairs}
        return self.build(name.strip(), **values)

    @functools.cached_property
    def _pending(self) -> dict[str, EntryPoint]:
        """Plug-ins that are not loaded yet, or could not be."""
        from importlib import metadata  # here, so that `--help` does not wait for it

        return {normalize_name(point.name): point for point in metadata.entry_points(group=self._group)}

    def _load(self, name: str) -> None:
        point = self._pending[name]
        try:
            method = point.load()
            self.register(point.name)(method)
        except Exception as error:  # whatever the import of others' code meets
            raise PluginError(
                f"The {self.kind} {point.name!r} of the plug-in {point.value} cannot be loaded "
                f"({type(error).__name__}: {error}). Mend or uninstall the package it comes from.",
                name=point.name,
                plugin=point.value,
            ) from error
        del self._pending[name]

    def _try_to_load(self, name: str) -> None:
        """Loads a plug-in, or warns once; a name that is there already stays as it is."""
        try:
            if name in self._pending:
                self._load(name)
        except PluginError as error:
            if name not in self._told:
                _LOG.warning("%s It is left out.", error)
            self._told.add(name)


def parse_number(text: str) -> float:
    """A number as a person writes it, also as a quotient.

    Raises:
        ValueError: If it is none.

    Example:
        >>> parse_number("8/255") == 8 / 255
        True
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise InvalidInput(f"{text!r} is no number. Write it like 0.03 or 8/255.") from None


def construct(cls: type, label: str, options: dict[str, Any]) -> Any:
    """Builds a dataclass from options as a person wrote them (``"0.5"`` for a float), or says which one is wrong.

    Raises:
        UnknownOption: If an option is not a field, or its value does not fit the field's type or the class's own check.
    """
    import pydantic  # here, so that `--help` does not wait for it

    fields = {field.name for field in dataclasses.fields(cls) if field.init}
    hints = typing.get_type_hints(cls)
    values = {}
    for option, value in options.items():
        if option not in fields:
            near = difflib.get_close_matches(option, fields, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(sorted(fields)) or "none"
            raise UnknownOption(
                f"The {label} has no option {option!r}.{hint} Its options: {allowed}.",
                method=label,
                option=option,
                value=value,
            )
        try:
            config = pydantic.ConfigDict(allow_inf_nan=False, strict=isinstance(value, bool))  # true is no 1
            values[option] = pydantic.TypeAdapter(hints[option], config=config).validate_python(value)
        except pydantic.ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UnknownOption(
                f"Option {option!r} of the {label} cannot be {value!r}: {reason}.",
                method=label,
                option=option,
                value=value,
            ) from error
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise UnknownOption(f"The {label} cannot be built from {options!r}: {error}") from error
