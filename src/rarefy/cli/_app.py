"""Runs commands and reports their errors."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

import rarefy
from rarefy.cli import (
    bench,
    check_scaling,
    compare,
    densities,
    eval,
    examples,
    export,
    find_density,
    predict,
    report,
    runs,
    sweep,
    train,
    unpack,
)
from rarefy.cli._flags import add_plugin_flag
from rarefy.cli._help import CommandWithNames
from rarefy.cli._plain import plain
from rarefy.cli._streams import OutputClosed, close_stream, stop_on_signals, write_any_letter
from rarefy.cores import limit_spinning
from rarefy.errors import RarefyError, is_out_of_memory
from rarefy.registry import find_plugin

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's, of which typer has its own copy
EXIT_USER = 2
_LONG = 100  # characters of a word that are repeated
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141  # as the shell says of a process that SIGPIPE ended

app = typer.Typer(
    name="rarefy",
    help="Train neural networks that are sparse from the first step: exact, reproducible random pruning.",
    epilog="First steps: rarefy train --sparse --fix --density 0.1   |   rarefy densities vgg16   |   rarefy runs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    train,
    sweep,
    find_density,
    eval,
    predict,
    export,
    compare,
    report,
    densities,
    runs,
    bench,
    check_scaling,
    unpack,
    examples,
):
    name = command.__name__.rpartition(".")[2].replace("_", "-")
    app.command(name, cls=CommandWithNames, help=command.__doc__, epilog=command.EXAMPLES)(
        add_plugin_flag(command.command)
    )


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        print(rarefy.__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Exit codes: 0 done, 2 a user's mistake (one sentence), 1 an error in rarefy (with a traceback), 130
    stopped by Ctrl-C, SIGTERM, SIGHUP or SIGUSR1, 141 nobody reads the output any more (``| head``): what was begun is
    saved, and the same command goes on.

    Args:
        arguments: The words after ``rarefy``; default: those of the shell.

    Example:
        >>> try:
        ...     main(["--version"])
        ... except SystemExit as done:
        ...     print(done.code)  # doctest: +ELLIPSIS
        0...
    """
    words = sys.argv[1:] if arguments is None else arguments
    write_any_letter()
    limit_spinning(os.environ)
    with stop_on_signals():
        code = _run(words)
    sys.exit(code)


def _run(words: list[str]) -> int:
    """Runs a command, prints its error, if any, and returns the exit code."""
    is_first = os.environ.get("RANK", "0") == "0"
    try:
        code: int | None = app([_hyphenated(word) for word in words], prog_name="rarefy", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except _USAGE_ERROR as error:
        if is_first:  # of several processes
            error.show()  # type: ignore[attr-defined]  # click's
            print(plain(_format_command(words, str(error))), file=sys.stderr)
        return EXIT_USER
    except typer.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (OutputClosed, BrokenPipeError):
        close_stream(sys.stdout)
        return EXIT_UNREAD
    except (RarefyError, OSError) as error:  # a sentence of ours, or the machine's (disk full, no permission)
        _report_error(error, str(error), words)
        return EXIT_USER
    except (ValueError, MemoryError, RuntimeError) as error:
        plugin = find_plugin(error) if isinstance(error, ValueError) else None
        if plugin is None and not is_out_of_memory(error):
            raise
        memory = f"There is not enough memory ({str(error).partition(chr(10))[0] or 'MemoryError'})."
        _report_error(error, f"The {plugin}, which a plug-in adds, says: {error}" if plugin else memory, words)
        return EXIT_USER


def _report_error(error: BaseException, sentence: str, words: list[str]) -> None:
    """Reports a mistake to the user and to the launcher, which includes it in its summary."""
    message = " ".join([sentence, *getattr(error, "__notes__", ())])
    is_reported = getattr(error, "is_reported", False)  # another process has printed it
    if not is_reported:
        message += _format_command(words, message)
        print(f"rarefy: {plain(message)}", file=sys.stderr)
    summary = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if summary:
        # The launcher takes the earliest timestamp for the cause.
        when = {"py_callstack": message, "timestamp": str(int(time.time()) + is_reported)}
        Path(summary).write_text(json.dumps({"message": {"message": message, "extraInfo": when}}), encoding="utf-8")
        # torchrun sends SIGTERM to all others as soon as one has ended; this one ends, with a code of its own.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _format_command(words: list[str], sentence: str) -> str:
    """Formats the command line, unless the message already contains all of its values."""
    values = [word.partition("=")[2] if word.startswith("--") else word for word in words]
    if all(value in sentence for value in values):
        return ""
    shown = (word if len(word) <= _LONG else f"{word[:_LONG]}..." for word in words)
    return f"\nGiven: rarefy {shlex.join(shown)}"


def _hyphenated(word: str) -> str:
    """Replaces underscores in a flag's name (``--sparse_init``) by hyphens; its value stays the same."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value
