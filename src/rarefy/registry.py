"""The one extension mechanism: named, configurable methods, looked up with errors that help.

A *method* is a class whose fields are its options (usually a frozen dataclass), registered under its file's name:

    @ALLOCATIONS.register("er")
    @dataclasses.dataclass(frozen=True)
    class ErdosRenyi: ...

A room's ``__init__`` calls ``discover``, which imports the room's files, so that there is no list to edit. Other
packages add methods through entry points:

    [project.entry-points."rarefy.allocations"]
    mine = "my_package.mine:Mine"
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import pkgutil
import re
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from rarefy.errors import InvalidInput, RarefyError

Method = TypeVar("Method", bound=type)
T_co = TypeVar("T_co", covariant=True)


class UnknownName(RarefyError, ValueError):
    """A name that nothing is registered under; the message says which names are.

    Attributes:
        kind: What it should be a name of.
        name: The name that came.
        known: The names that there are.
    """

    kind: str = ""
    name: str = ""
    known: tuple[str, ...] = ()


class UnknownOption(RarefyError, ValueError):
    """An option that a method does not have, or a value it cannot take.

    Attributes:
        method: What has the options, as the message names it.
        option: The option's name.
        value: What came for it.
    """

    method: str = ""
    option: str = ""
    value: Any = None


_PLUGINS: dict[str, str] = {}  # package of others -> the method it registered, as a message names it


def name_plugin(error: BaseException) -> str | None:
    """Find the plug-in that raised an error itself: the innermost call is in the package that registered a method.

    Returns:
        Kind and name of the method, such as ``"allocation 'mine'"``; None where the error is nobody's plug-in's.

    Example:
        >>> name_plugin(ValueError("nobody's")) is None
        True
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return _PLUGINS.get(module.partition(".")[0])


def key(name: str) -> str:
    """The form in which names are compared: without case, ``-`` and ``_``.

    Example:
        >>> key("ERK_plus") == key("erk-plus")
        True
    """
    return name.lower().replace("-", "").replace("_", "")


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name nobody knows, with the nearest known one.

    Example:
        >>> str(unknown("allocation", "erkk", ["er", "erk"]))
        "Unknown allocation 'erkk'. Did you mean 'erk'? Known: er, erk."
    """
    by_key = {key(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(key(name), list(by_key), n=1)
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
        self._external_loaded = False

    def register(self, name: str) -> Callable[[Method], Method]:
        """Registers a class under a name; a taken name raises ValueError."""

        def add(method: Method) -> Method:
            taken = self._methods.get(key(name))
            if taken is not None:
                raise InvalidInput(
                    f"The {self.kind} {name!r} is taken by {taken[1].__module__}.{taken[1].__qualname__}."
                )
            self._methods[key(name)] = (name, method)
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
        """Registered names, sorted."""
        self._load_external()
        return sorted(name for name, _ in self._methods.values())

    def get(self, name: str) -> type:
        """The class registered under a name; raises UnknownName with the nearest known one."""
        self._load_external()
        if key(name) not in self._methods:
            raise unknown(self.kind, name, self.names())
        return self._methods[key(name)][1]

    def name_of(self, method: object) -> str:
        """The name a method's class is registered under; raises UnknownName for a class that is not registered."""
        self._load_external()
        for name, cls in self._methods.values():
            if cls is type(method):
                return name
        raise UnknownName(
            f"{type(method).__qualname__} is not a registered {self.kind}. Known: {', '.join(self.names())}."
        )

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
        values = {o.strip(): number(v) if quotient.fullmatch(v.strip()) else v.strip() for o, _, v in pairs}
        return self.build(name.strip(), **values)

    def _load_external(self) -> None:
        if self._external_loaded:
            return
        self._external_loaded = True
        from importlib import metadata  # here, so that `--help` does not wait for it

        for point in metadata.entry_points(group=self._group):
            self.register(point.name)(point.load())


def number(text: str) -> float:
    """A number as a person writes it, also as a quotient.

    Raises:
        ValueError: If it is none.

    Example:
        >>> number("8/255") == 8 / 255
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
            values[option] = pydantic.TypeAdapter(hints[option]).validate_python(value)
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
