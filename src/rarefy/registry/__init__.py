"""The one extension mechanism: named, configurable methods, looked up by name; errors suggest the nearest name.

A *method* is a class whose fields are its options (usually a frozen dataclass), registered under its file's name:

    @ALLOCATIONS.register("er")
    @dataclasses.dataclass(frozen=True)
    class ErdosRenyi: ...

A package's ``__init__`` calls ``discover``, which imports the package's files, so that there is no list to edit. Other
packages add methods through entry points, and files through ``--plugin FILE`` or `load_plugin`:

    [project.entry-points."rarefy.allocations"]
    mine = "my_package.mine:Mine"

A plug-in that cannot be loaded raises an error where it is used by name and logs a warning where names are listed; all
other names keep working.
"""

from rarefy.errors import PluginError, UnknownName, UnknownOption
from rarefy.registry._construct import construct, parse_number
from rarefy.registry._names import (
    MethodConstants,
    list_file_names,
    make_unknown_error,
    normalize_name,
    read_method_constants,
    read_names,
    read_titles,
)
from rarefy.registry._plugins import find_plugin, load_plugin
from rarefy.registry._registry import Registry

__all__ = [
    "MethodConstants",
    "PluginError",
    "Registry",
    "UnknownName",
    "UnknownOption",
    "construct",
    "find_plugin",
    "list_file_names",
    "load_plugin",
    "make_unknown_error",
    "normalize_name",
    "parse_number",
    "read_method_constants",
    "read_names",
    "read_titles",
]
