"""The errors of rarefy: each derives from `RarefyError`, carries its values as attributes, and can be pickled.

A `RarefyError` tells a person what to change: the command line prints its sentence and exits with 2. Any other
exception is a fault of the program, and keeps its traceback. Kinds that belong to one package are defined there.
"""

from __future__ import annotations

import pickle
from typing import Any

__all__ = [
    "Interrupted",
    "InvalidInput",
    "MethodError",
    "MissingFile",
    "MissingPackage",
    "PluginError",
    "RarefyError",
    "UnknownName",
    "UnknownOption",
    "is_out_of_memory",
]


class RarefyError(Exception):
    """Base of every error that rarefy raises on purpose.

    Args:
        message: What was wrong, the value given, what is allowed and what to do.
        **values: What the message is made of; they become attributes of the error.

    Example:
        >>> import rarefy
        >>> try:
        ...     rarefy.ALLOCATIONS.build("erkk")
        ... except rarefy.RarefyError as error:
        ...     print(error)  # doctest: +ELLIPSIS
        Unknown allocation 'erkk'. Did you mean 'erk'? ...
    """

    def __init__(self, message: str = "", **values: Any) -> None:
        super().__init__(message)
        for name, value in values.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        """The message as it is; a `KeyError` would quote it, an `OSError` would look for a number."""
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles message and attributes alike; a value that cannot be pickled travels as its text."""
        return _restore, (type(self), self.args, {name: _picklable(value) for name, value in vars(self).items()})


class InvalidInput(RarefyError, ValueError):
    """An argument, option, file or model that cannot be used.

    Attributes:
        name: The argument or option, where it is one.
        value: The value given.
    """

    name: str = ""
    value: Any = None


class MissingFile(RarefyError, FileNotFoundError):
    """A file that is not there.

    Attributes:
        path: Where it was looked for.
    """

    path: Any = None


class MissingPackage(RarefyError, ImportError, ValueError):
    """A package that only some methods need is not installed.

    Attributes:
        package: Its name.
        extra: The extra of rarefy that installs it.
    """

    package: str = ""
    extra: str = ""


class MethodError(RarefyError, RuntimeError, ValueError):
    """A registered method that gave what its kind must not give.

    Attributes:
        method: The method.
        value: What it gave.
    """

    method: Any = None
    value: Any = None


class UnknownName(RarefyError, ValueError):
    """A name that nothing is registered under; the message says which names are.

    Attributes:
        kind: What it should be a name of.
        name: The name given.
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
        value: The value given for it.
    """

    method: str = ""
    option: str = ""
    value: Any = None


class PluginError(RarefyError):
    """A method of another package that cannot be loaded; the error that its import met is the cause.

    Attributes:
        name: The method's name.
        plugin: Where the package says it is: ``"my_package.mine:Mine"``.
    """

    name: str = ""
    plugin: str = ""


class Interrupted(RarefyError):
    """Training was interrupted; the last checkpoint is of the step at which it stopped."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine, or a GPU, has no memory left.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
        (True, False)
    """
    if isinstance(error, RuntimeError):  # torch's, of a GPU and of a CPU
        return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    return isinstance(error, MemoryError)


def _restore(cls: type[RarefyError], args: tuple[Any, ...], values: dict[str, Any]) -> RarefyError:
    error = cls.__new__(cls)
    error.args = args
    vars(error).update(values)
    return error


def _picklable(value: Any) -> Any:
    try:
        pickle.dumps(value)
    except Exception:  # whatever an object does that does not want to travel
        return repr(value)
    return value
