"""The help of a command: its flags in sections, with their defaults and the names of registered methods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from typer.core import TyperArgument, TyperCommand

from rarefy.flags import FLAGS
from rarefy.registry import list_file_names, read_names

SECTIONS = ("data", "model", "sparsity", "training", "hardware", "output")
_BY_PATH = {
    "data": "data",
    "model": "model",
    "engine": "hardware",
    "device": "hardware",
    "seed": "training",
    "training": "training",
    **dict.fromkeys(("density", "allocation", "topology", "scaling", "pattern", "connect", "initialiser"), "sparsity"),
    **{
        f"training.{name}": "hardware"
        for name in ("precision", "channels_last", "compile", "sync_norms", "recompute", "compression")
    },
}
_BY_NAME = {
    **dict.fromkeys(("data_dir", "workers", "folder"), "data"),
    **dict.fromkeys(("sparse", "fix", "min_density"), "sparsity"),
    **dict.fromkeys(("recipe", "multiplier", "config", "assignments", "margin", "seeds", "short", "scale"), "training"),
    **dict.fromkeys(("threads", "shard", "rank_timeout"), "hardware"),
}
_NO_DEFAULT = ("topology", "data.resolution")  # follow from other flags
_FLAGS = {flag.name: flag for flag in FLAGS}


class CommandWithNames(TyperCommand):
    """A command whose help lists the registered methods; their names are read when the help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        for parameter in self.params:
            if text := getattr(parameter, "help", None):
                parameter.help = re.sub(r"\{([\w.]+)\}", _list_names, text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the flags, in sections if the command has those of a training."""
        parameters = self.get_params(ctx)
        if sum(parameter.name in _FLAGS for parameter in parameters) < len(FLAGS) / 2:
            super().format_options(ctx, formatter)
            return
        sections: dict[str, list[tuple[str, str]]] = {"arguments": [], **{name: [] for name in SECTIONS}}
        for parameter in parameters:
            section = "arguments" if isinstance(parameter, TyperArgument) else find_section(str(parameter.name))
            if row := parameter.get_help_record(ctx):
                sections[section].append((row[0], row[1] + _format_default(str(parameter.name))))
        for name, rows in sections.items():
            if rows:
                with formatter.section(name.capitalize()):
                    formatter.write_dl(rows, col_max=24)


def find_section(name: str) -> str:
    """Finds the section of the help that lists a flag.

    Example:
        >>> find_section("density"), find_section("bf16"), find_section("quiet")
        ('sparsity', 'hardware', 'output')
    """
    path = _FLAGS[name].config_path if name in _FLAGS else ""
    return _BY_NAME.get(name) or _BY_PATH.get(path) or _BY_PATH.get(path.partition(".")[0]) or "output"


def _format_default(name: str) -> str:
    """Formats the default of a flag that sets a value of the config; those of methods' options are not known here."""
    flag = _FLAGS.get(name)
    if flag is None or flag.kind is bool or not flag.config_path or flag.config_path.startswith(_NO_DEFAULT):
        return ""
    from rarefy.config import Config  # with pydantic: only the help of a command needs it

    value: Any = Config().model_dump()
    for part in flag.config_path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    return f"  [default: {value:g}]" if isinstance(value, float) else f"  [default: {value}]"


def _list_names(reference: re.Match[str]) -> str:
    """Names of the recipes, or in the registry that a help text refers to."""
    return ", ".join(list_file_names("config/recipes") if reference[1] == "recipes" else read_names(reference[1]))
