"""Adds the flags of a table to a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rarefy.flags import Flag
from rarefy.registry import load_plugin

Command = Callable[..., None]

_PLUGIN = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file that registers methods of your own; can be repeated.",
        is_eager=True,  # before --help, which lists the names it adds
        callback=lambda files: [load_plugin(file) for file in files or ()],
    ),
]


def add_flags(
    flags: Sequence[Flag], *, into: str = "", shown: Collection[str] | None = None
) -> Callable[[Command], Command]:
    """Add flags to a command: in the place of its parameters of the same names, or as one mapping.

    Args:
        flags: The flags.
        into: Name of a parameter that takes their values as a dict; empty: each flag has a parameter of its own.
        shown: Names of the flags that `--help` lists; None: all.
    """
    added = [
        _make_parameter(flag, hidden=bool(flag.no_effect) or (shown is not None and flag.name not in shown))
        for flag in flags
    ]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        replaced = {into} if into else {parameter.name for parameter in added}
        own = [parameter for parameter in signature.parameters.values() if parameter.name not in replaced]
        positional = [parameter for parameter in own if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]

        def call_command(**values: Any) -> None:
            if into:
                values[into] = {parameter.name: values.pop(parameter.name) for parameter in added}
            command(**values)

        call_command.__signature__ = inspect.Signature([*positional, *added, *own[len(positional) :]])  # type: ignore[attr-defined]
        return call_command

    return decorate


def add_plugin_flag(command: Command) -> Command:
    """Add `--plugin FILE` to a command; the files are imported before the command runs."""
    signature = inspect.signature(command, eval_str=True)
    parameter = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_PLUGIN)

    def call_command(plugin: Any = None, **values: Any) -> None:
        command(**values)

    call_command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), parameter])  # type: ignore[attr-defined]
    return call_command


def _make_parameter(flag: Flag, *, hidden: bool) -> inspect.Parameter:
    option = typer.Option(*flag.names, help=flag.help, min=flag.minimum, max=flag.maximum, hidden=hidden)
    kind: Any = list[str] if flag.kind is list else flag.kind
    default = False if flag.kind is bool else flag.default
    annotation: Any = Annotated[kind | None if default is None else kind, option]
    return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
