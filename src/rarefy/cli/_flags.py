"""Turns the config's table of flags into a command's signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

import typer

from rarefy.flags import FLAGS, Flag
from rarefy.registry import names_on_disk

THREADS = typer.Option("--threads", min=1, max=1024, help="Threads of the CPU; default: all.")
WORKERS = typer.Option("--workers", "-j", min=0, max=1024, help="Processes that decode images (imagenet).")


def with_flags(
    command: Callable[..., None], *, without: Collection[str] = (), shown: Collection[str] | None = None
) -> Callable[..., None]:
    """Adds every flag of the config to a command, but for some; what was given arrives in its ``flags``.

    Args:
        command: The command.
        without: Names of flags that it has not.
        shown: Names of those that ``--help`` lists; None: all.
    """
    wanted = [flag for flag in FLAGS if flag.name not in without]
    parameters = [_parameter(flag, hidden=shown is not None and flag.name not in shown) for flag in wanted]
    return with_parameters(command, "flags", parameters)


def with_parameters(command: Callable[..., None], name: str, added: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """Adds keyword parameters to a command, behind its arguments; what was given for them arrives as a dict, `name`."""
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != name]
    first = [p for p in own if p.kind is not inspect.Parameter.KEYWORD_ONLY]

    def wrapped(**values: Any) -> None:
        command(**{name: {p.name: values.pop(p.name) for p in added}}, **values)

    wrapped.__signature__ = inspect.Signature([*first, *added, *own[len(first) :]])  # type: ignore[attr-defined]
    return wrapped


def _parameter(flag: Flag, *, hidden: bool) -> inspect.Parameter:
    option = typer.Option(*flag.names, help=_help(flag.help), show_default=False, hidden=hidden)
    kind = bool if flag.kind is bool else flag.kind | None
    default = False if flag.kind is bool else None
    return inspect.Parameter(
        flag.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _help(text: str) -> str:
    """Fills ``{allocation}`` with the names of that room's methods, so that there is no list to keep."""
    rooms = [part.partition("}")[0] for part in text.split("{")[1:]]
    return text.format(**{room: ", ".join(names_on_disk(room)) for room in rooms})
