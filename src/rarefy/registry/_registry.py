"""The registry: classes by name, with those that plug-ins add."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import pkgutil
import re
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rarefy.errors import InvalidInput, PluginError, UnknownName, UnknownOption
from rarefy.registry._construct import construct, parse_number
from rarefy.registry._names import make_unknown_error, normalize_name
from rarefy.registry._plugins import find_entry_points, load_plugin_files, note_plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Method = TypeVar("Method", bound=type)
T_co = TypeVar("T_co", covariant=True)
_LOG = logging.getLogger(__name__)


class Registry(Generic[T_co]):
    """Names of one kind of method.

    Args:
        kind: What the methods are, in the singular, for messages: ``"allocation"``.
        group: Entry point group through which other packages add methods, without ``rarefy.``: ``"allocations"``.

    Example:
        >>> import dataclasses
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
            if package != "rarefy":
                note_plugin(package, f"{self.kind} {name!r}", group=self._group, name=name)
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
        load_plugin_files()
        for name in list(self._pending):
            self._try_to_load(name)
        return sorted(name for name, _ in self._methods.values())

    def get(self, name: str) -> type:
        """Gives the class registered under a name.

        Raises:
            UnknownName: If there is none; says the nearest known one.
            PluginError: If it is a plug-in's, which cannot be loaded.
        """
        load_plugin_files()
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
                raise UnknownOption(f"An option is spelled name=value, as in {name}:option=1; got {option!r}.")
        quotient = re.compile(r"[\d.]+/[\d.]+")
        values = {o.strip(): parse_number(v) if quotient.fullmatch(v.strip()) else v.strip() for o, _, v in pairs}
        return self.build(name.strip(), **values)

    @functools.cached_property
    def _pending(self) -> dict[str, EntryPoint]:
        """Plug-ins that are not loaded yet, or could not be."""
        return {normalize_name(name): point for name, point in find_entry_points(self._group).items()}

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
