"""Builds a config from flags, a file and assignments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.config._model import Config, ConfigError, read_settings
from rarefy.config._recipes import load_recipe
from rarefy.documents import DocumentError, parse_yaml
from rarefy.flags import FLAGS
from rarefy.registry import make_unknown_error, normalize_name

Values = dict[str, Any]


_SPARSE_ONLY = ("density", "allocation", "topology", "scaling", "pattern", "connect", "initialiser")


def build_config(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    notice: Callable[[str], None] = lambda text: None,
) -> Config:
    """Builds the config from, in this order: defaults, a recipe or a YAML file, flags, ``a.b=c`` assignments.

    Without ``sparse`` (and without a file that says otherwise) training is dense: allocation ``dense``, density 1,
    topology ``static``. With ``sparse`` and without ``fix`` the topology moves (``set``).

    Args:
        flags: Flag name (``sparse_init``) or dotted path (``training.lr``) -> value; None and False are "not given".
        file: YAML file of settings.
        assignments: ``path=value`` texts; the value is read as YAML.
        notice: Called with a line for every flag that was given and has no effect.

    Raises:
        ConfigError: If a value is not allowed; UnknownName: if there is no such flag.

    Example:
        >>> build_config({"sparse": True, "fix": True, "sparse_init": "ERK", "density": 0.1}).density
        0.1
        >>> build_config({}).allocation.name
        'dense'
    """
    given = {find_setting(name): value for name, value in flags.items() if value is not None and value is not False}
    values: Values = Config().model_dump()
    _require_values(given)
    _notice_no_effect(given, notice)
    if file:
        _refuse_recipe_and_file(file, given)
        _merge(values, read_settings(file))
        _override_sparsity(values, given, notice)
    else:
        _merge_recipe(values, given)
        _merge(values, _parse_sparsity(given, notice))
    for flag in FLAGS:
        if flag.name in given and flag.config_path:
            _put(values, flag.config_path, flag.value if flag.kind is bool else given[flag.name])
    flag_names = {flag.name for flag in FLAGS}
    for path, value in given.items():
        if path not in flag_names:
            _put(values, path, value)
    for text in assignments:
        _put(values, *parse_assignment(text))
    config = Config.from_values(values)
    if "multiplier" in given:
        _put(values, "training.epochs", _parse_multiplier(given["multiplier"]) * config.training.epochs)
        config = Config.from_values(values)
    return _normalize_dense(config, notice)


def _require_values(given: Values) -> None:
    """Validates the flags' values, also of flags without effect; combinations are checked later."""
    values: Values = Config().model_dump()
    for flag in FLAGS:
        if flag.name in given and flag.config_path and not flag.config_path.endswith(".name") and flag.kind is not bool:
            head, _, option = flag.config_path.partition(".")
            if not option or (head == "training" and option.count(".") == 0):
                _put(values, flag.config_path, given[flag.name])
    Config.from_values(values)


def _notice_no_effect(given: Values, notice: Callable[[str], None]) -> None:
    for flag in FLAGS:
        if flag.no_effect and flag.name in given:
            notice(f"{flag.names[0]} has no effect: {flag.no_effect}")


def _refuse_recipe_and_file(file: Path, given: Values) -> None:
    if "recipe" in given:
        raise ConfigError(f"--recipe {given['recipe']} and --config {file} both say everything. Give one of them.")


def _merge_recipe(values: Values, given: Values) -> None:
    """Merges the recipe's settings; its sparsity applies to sparse models, and other flags override it."""
    if "recipe" in given:
        result = load_recipe(given["recipe"], sparse="sparse" in given)
        _merge(values, result["settings"])
        _merge(values, result["sparsity"])


def _parse_multiplier(value: Any) -> int:
    if not str(value).isdigit() or int(value) < 1:
        raise ConfigError(f"multiplier cannot be {value!r}: it is a whole number, 1 or more.")
    return int(value)


def find_setting(name: str) -> str:
    """Returns a flag's canonical name, or a config path unchanged.

    Raises:
        UnknownName: If it is neither; the message says which is nearest.

    Example:
        >>> find_setting("epoch"), find_setting("training.lr")
        ('epochs', 'training.lr')
    """
    spellings = {normalize_name(spelling.lstrip("-")): flag.name for flag in FLAGS for spelling in flag.names}
    if normalize_name(name) in spellings:
        return spellings[normalize_name(name)]
    if name.split(".")[0] in Config.model_fields:
        return name
    raise make_unknown_error("flag or setting", name, [*(flag.name for flag in FLAGS), *Config.model_fields])


def _parse_sparsity(given: Values, notice: Callable[[str], None]) -> Values:
    """Resolves ``--sparse`` and ``--fix``; notices flags that have no effect on dense training."""
    if "sparse" in given:
        return {"topology": _parse_topology(given, notice)}
    for flag in FLAGS:
        if flag.name in given and (flag.config_path.split(".")[0] in _SPARSE_ONLY or flag.name == "fix"):
            notice(f"{flag.names[0]} has no effect: training is dense without --sparse")
            given.pop(flag.name)
    return {"allocation": "dense", "density": 1.0, "topology": "static"}


def _override_sparsity(values: Values, given: Values, notice: Callable[[str], None]) -> None:
    """Applies flags to a file: ``--sparse`` makes a dense file sparse, ``--fix`` makes its topology static."""
    if "sparse" in given and normalize_name(values["allocation"]["name"]) == "dense":
        defaults = Config()
        _merge(values, {"allocation": defaults.allocation.name, "density": defaults.density})
    if "sparse" in given or "fix" in given:
        _put(values, "topology", _parse_topology(given, notice))


def _parse_topology(given: Values, notice: Callable[[str], None]) -> str:
    """Chooses the topology: static with ``--fix``, a composition if only rules (``--growth``) are given, else SET."""
    rules = [flag for flag in FLAGS if flag.name in given and flag.config_path.startswith("topology.")]
    if "fix" in given:
        for flag in rules:
            notice(f"{flag.names[0]} has no effect: --fix keeps the topology static")
            given.pop(flag.name)
        return "static"
    return "dynamic" if rules and "topology" not in given else "set"


def _merge(values: Values, changes: Mapping[str, Any], above: str = "") -> None:
    """Merges nested values into others, names of methods before their options."""
    for name in sorted(changes, key=lambda name: name != "name"):
        if not isinstance(name, str):
            raise ConfigError(
                f"A setting's name is text, but {above}{name!r} was given. Write `training: {{lr: 0.1}}`."
            )
        _put(values, name, changes[name], above)


def _put(values: Values, path: str, value: Any, above: str = "") -> None:
    """Sets a dotted path in nested values; a method's new name drops the old method's options."""
    head, _, rest = path.partition(".")
    inner = values.get(head)
    if rest:
        if not isinstance(inner, dict):
            raise ConfigError(
                f"There is no setting {above + path!r}: {above + head!r} holds {inner!r}, nothing is below."
            )
        _put(inner, rest, value, f"{above}{head}.")
    elif isinstance(inner, dict) and isinstance(value, dict):
        _merge(inner, value, f"{above}{head}.")
    elif isinstance(inner, dict) and "name" in inner:
        _put(inner, "name", value)
    elif head == "name" and normalize_name(str(values.get("name"))) != normalize_name(str(value)):
        values.clear()
        values["name"] = value
    else:
        values[head] = value


def parse_assignment(text: str) -> tuple[str, Any]:
    """Reads ``path=value``, the value as YAML.

    Raises:
        ConfigError: If it is not an assignment.

    Example:
        >>> parse_assignment("training.lr=0.05")
        ('training.lr', 0.05)
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(
            f"--set {text!r} is not an assignment. Write a setting, '=' and its value: --set training.lr=0.05"
        )
    try:
        return path.strip(), parse_yaml(value, f"The value of --set {text!r}")
    except DocumentError as error:
        raise ConfigError(f"{error} Quote what is text.") from None


def _normalize_dense(config: Config, notice: Callable[[str], None]) -> Config:
    """Removes the density of a dense run, so that sweeps over densities share one dense run."""
    if normalize_name(config.allocation.name) != "dense":
        return config
    if config.density != 1:
        notice(
            f"--density {config.density:g} has no effect: training is dense without --sparse, and with allocation dense"
        )
    return config.dense()
