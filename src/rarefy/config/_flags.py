"""The command line's flags as one table: flag -> place in the config.

Sweeps use the same names, so that what one can type is what one can sweep. The paper's released spelling works
(``--sparse_init``, ``--epoch``, ``--l2``); ``-`` and ``_`` are one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rarefy.config._model import Config, ConfigError, read
from rarefy.registry import key, unknown

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        names: Its spellings, the first one canonical.
        place: Dotted path in the config that it sets; empty for a flag that `from_flags` itself understands.
        kind: Type of its value; bool flags take none.
        help: What `--help` says.
        value: For a bool flag: what it sets when given.

    Example:
        >>> Flag(("--lr",), "training.lr", float, "Learning rate.").name
        'lr'
    """

    names: tuple[str, ...]
    place: str
    kind: type
    help: str
    value: Any = True

    @property
    def name(self) -> str:
        """The flag's name in Python and in sweep files: ``sparse_init``."""
        return self.names[0].lstrip("-").replace("-", "_")


FLAGS: tuple[Flag, ...] = (
    Flag(("--data",), "data.name", str, "Data set: {data}."),
    Flag(
        ("--model", "--arch"),
        "model.name",
        str,
        "cifar_resnet_D[_W], vgg11/13/16/19, mlp_W_W, torchvision/NAME, timm/NAME.",
    ),
    Flag(("--sparse",), "", bool, "Train a sparse network; without it the network is dense."),
    Flag(("--density",), "density", float, "Fraction of weights kept, in (0, 1]."),
    Flag(("--sparse-init",), "allocation.name", str, "How many weights each layer keeps: {allocation}."),
    Flag(("--fc-density",), "allocation.fc_density", float, "Density of the classifier (erk_plus)."),
    Flag(("--fix",), "", bool, "Keep the topology static; without it masks move."),
    Flag(("--topology",), "topology.name", str, "How masks move: {topology}."),
    Flag(("--growth",), "topology.grow", str, "Grow rule: random, random_unfired, gradient or momentum."),
    Flag(("--death",), "topology.drop", str, "Drop rule: magnitude, set, threshold, taylor or mest."),
    Flag(("--redistribution",), "topology.redistribute", str, "Between layers: none, momentum, magnitude or nonzeros."),
    Flag(("--death-rate",), "topology.fraction", float, "Fraction of a layer's weights dropped at first."),
    Flag(("--update-frequency",), "topology.interval", int, "Steps between updates of the masks."),
    Flag(
        ("--decay-schedule",), "topology.schedule", str, "How the dropped fraction falls: cosine, linear or constant."
    ),
    Flag(("--scaled",), "scaled", bool, "Scale each layer's initial weights by its own fan-in density."),
    Flag(("--seed",), "seed", int, "Root seed of masks, weights, order and augmentation."),
    Flag(("--epochs", "--epoch"), "training.epochs", int, "Passes over the training split."),
    Flag(("--multiplier",), "", int, "Multiplies the number of epochs."),
    Flag(("--batch-size", "-b"), "training.batch_size", int, "Images a step."),
    Flag(("--optimizer",), "training.optimizer.name", str, "sgd, adam or adamw."),
    Flag(("--lr",), "training.lr", float, "Learning rate."),
    Flag(("--momentum",), "training.optimizer.momentum", float, "Momentum of sgd."),
    Flag(("--weight-decay", "--wd", "--l2"), "training.weight_decay", float, "Weight decay."),
    Flag(("--no-norm-decay",), "training.norm_weight_decay", bool, "No weight decay on norms and biases.", False),
    Flag(
        ("--schedule",), "training.schedule.name", str, "Learning rate: step (x0.1 at 1/2 and 3/4), cosine or constant."
    ),
    Flag(("--warmup",), "training.warmup_epochs", float, "Epochs of linear warm-up."),
    Flag(("--label-smoothing",), "training.label_smoothing", float, "Label smoothing in [0, 1)."),
    Flag(("--clip-norm",), "training.clip_norm", float, "Largest gradient norm, over kept weights."),
    Flag(("--precision",), "training.precision", str, "fp32, bf16 or fp16."),
    Flag(("--bf16",), "training.precision", bool, "Short for --precision bf16.", "bf16"),
    Flag(("--fp16",), "training.precision", bool, "Short for --precision fp16.", "fp16"),
    Flag(("--channels-last",), "training.channels_last", bool, "Keep activations in channels-last order."),
    Flag(("--compile",), "training.compile", bool, "Compile the model with torch.compile."),
    Flag(("--select",), "training.select", str, "Weights that are kept: last epoch, or best on validation."),
    Flag(("--diagnostics",), "training.diagnostics", bool, "Overlap, gradient norms and active units into the history."),
    Flag(("--engine",), "engine.name", str, "How masked layers compute: {engines}."),
    Flag(("--device",), "device", str, "auto, cpu, cuda or cuda:N."),
    Flag(("--no-cuda",), "device", bool, "Short for --device cpu.", "cpu"),
)
"""Every flag of `rarefy train` that is part of the config."""

_SPARSE_ONLY = ("density", "allocation", "topology", "scaled")


def from_flags(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    notice: Callable[[str], None] = lambda text: None,
) -> Config:
    """Builds the config from, in this order: defaults, a YAML file, flags, ``a.b=c`` assignments.

    Without ``sparse`` (and without a file that says otherwise) training is dense: allocation ``dense``, density 1,
    topology ``static``. With ``sparse`` and without ``fix`` the topology moves (``set``).

    Args:
        flags: Flag name (``sparse_init``) or dotted place (``training.lr``) -> value; None and False are "not given".
        file: YAML file of settings.
        assignments: ``place=value`` texts; the value is read as YAML.
        notice: Called with a line for every flag that was given and has no effect.
    Raises:
        ConfigError: If a value is not allowed; UnknownName: if there is no such flag.

    Example:
        >>> from_flags({"sparse": True, "fix": True, "sparse_init": "ERK", "density": 0.1}).density
        0.1
        >>> from_flags({}).allocation.name
        'dense'
    """
    given = {_known(name): value for name, value in flags.items() if value is not None and value is not False}
    values: Values = Config().model_dump()
    for place, value in (read(file) if file else _sparsity_asked(given, notice)).items():
        _put(values, place, value)
    if file and "sparse" in given:
        _put(values, "topology", _topology_asked(given, notice))
    for flag in FLAGS:
        if flag.name in given and flag.place:
            _put(values, flag.place, flag.value if flag.kind is bool else given[flag.name])
    flag_names = {flag.name for flag in FLAGS}
    for place, value in given.items():
        if place not in flag_names:
            _put(values, place, value)
    for text in assignments:
        _put(values, *_assignment(text))
    if "multiplier" in given:
        _put(values, "training.epochs", int(given["multiplier"]) * int(values["training"]["epochs"]))
    return _dense_is_static(Config.from_values(values))


def _known(name: str) -> str:
    """The canonical name of a flag, or a place in the config as it is."""
    spellings = {key(spelling.lstrip("-")): flag.name for flag in FLAGS for spelling in flag.names}
    if key(name) in spellings:
        return spellings[key(name)]
    if name.split(".")[0] in Config.model_fields:
        return name
    raise unknown("flag or setting", name, [*(flag.name for flag in FLAGS), *Config.model_fields])


def _sparsity_asked(given: Values, notice: Callable[[str], None]) -> Values:
    """What ``--sparse`` and ``--fix`` mean; a flag that only sparse training reads is said to be without effect."""
    if "sparse" in given:
        return {"topology": _topology_asked(given, notice)}
    for flag in FLAGS:
        if flag.name in given and (flag.place.split(".")[0] in _SPARSE_ONLY or flag.name == "fix"):
            notice(f"{flag.names[0]} has no effect: training is dense without --sparse")
            given.pop(flag.name)
    return {"allocation": "dense", "density": 1.0, "topology": "static"}


def _topology_asked(given: Values, notice: Callable[[str], None]) -> str:
    """``--fix`` is static; a rule named by itself (``--growth``) makes a free composition; the default is SET."""
    rules = [flag for flag in FLAGS if flag.name in given and flag.place.startswith("topology.")]
    if "fix" in given:
        for flag in rules:
            notice(f"{flag.names[0]} has no effect: --fix keeps the topology static")
            given.pop(flag.name)
        return "static"
    return "dynamic" if rules and "topology" not in given else "set"


def _put(values: Values, place: str, value: Any) -> None:
    """Sets a dotted place in nested values; a method's new name drops the old method's options."""
    head, _, rest = place.partition(".")
    inner = values.get(head)
    if rest:
        if not isinstance(inner, dict):
            raise ConfigError(f"There is no setting {place!r}: {head!r} holds {inner!r}, nothing is below it.")
        _put(inner, rest, value)
    elif isinstance(inner, dict) and isinstance(value, dict):
        if "name" in value:
            inner.clear()
        for name, item in value.items():
            _put(inner, name, item)
    elif isinstance(inner, dict) and "name" in inner:
        values[head] = {"name": value}
    elif head == "name" and values.get("name") != value:
        values.clear()
        values["name"] = value
    else:
        values[head] = value


def _assignment(text: str) -> tuple[str, Any]:
    place, equals, value = text.partition("=")
    if not equals or not place.strip():
        raise ConfigError(
            f"--set {text!r} is not an assignment. Write a setting, '=' and its value: --set training.lr=0.05"
        )
    return place.strip(), yaml.safe_load(value)


def _dense_is_static(config: Config) -> Config:
    """Dense is one thing, whatever density was asked for beside it: sweeps over densities share one dense run."""
    if key(config.allocation.name) != "dense":
        return config
    return Config.from_values({**config.model_dump(), "density": 1.0, "topology": {"name": "static"}, "scaled": False})
