"""The values of a run as frozen, validated models; the defaults are the paper's (Table 1 and its released code)."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from rarefy.documents import DocumentError, read_yaml
from rarefy.errors import InvalidInput, RarefyError
from rarefy.registry import normalize_name


class ConfigError(RarefyError, ValueError):
    """An invalid setting; the message names it, the value given and what is allowed."""


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind in (int, float, float | None):
            raise InvalidInput("It is a number, neither true nor false")
        return value


class MethodConfig(pydantic.BaseModel):
    """A registered method by name, with its options next to the name.

    In YAML either ``erk`` or ``{name: erk_plus, fc_density: 1.0}``.

    Example:
        >>> MethodConfig.model_validate("erk").name
        'erk'
        >>> MethodConfig(name="erk_plus", fc_density=1.0).options
        {'fc_density': 1.0}
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    name: str

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _finite(self) -> MethodConfig:
        for option, value in self.options.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InvalidInput(f"option {option!r} has to be finite")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method: everything but the name."""
        return dict(self.model_extra or {})


class Training(_Frozen):
    """How the loop trains.

    Example:
        >>> Training(epochs=2).lr
        0.1
    """

    epochs: int = pydantic.Field(160, ge=1, le=10**6)
    batch_size: int = pydantic.Field(128, ge=1, le=10**8)
    optimizer: MethodConfig = MethodConfig(name="sgd")
    lr: float = pydantic.Field(0.1, gt=0, le=10**6)
    weight_decay: float = pydantic.Field(5e-4, ge=0, le=10**6)
    norm_weight_decay: bool = True
    schedule: MethodConfig = MethodConfig(name="step")
    warmup_epochs: float = pydantic.Field(0.0, ge=0, le=10**6)
    label_smoothing: float = pydantic.Field(0.0, ge=0, lt=1)
    clip_norm: float | None = pydantic.Field(None, gt=0)
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    select: Literal["last", "best"] = "last"
    deterministic: bool = True
    diagnostics: bool = False
    accumulate: int = pydantic.Field(1, ge=1, le=10**8)
    sync_norms: bool = False
    recompute: bool = False
    compression: Literal["none", "fp16", "bf16"] = "none"


class Config(_Frozen):
    """Everything that decides the bits of a run, and nothing else (where files lie is no part of it).

    Example:
        >>> Config().allocation.name, Config().density
        ('erk', 0.05)
    """

    data: MethodConfig = MethodConfig(name="digits")
    model: MethodConfig = MethodConfig(name="cifar_resnet_20")
    density: float = pydantic.Field(0.05, gt=0, le=1)
    allocation: MethodConfig = MethodConfig(name="erk")
    scaling: MethodConfig = MethodConfig(name="none")
    pattern: str = "unstructured"
    connect: bool = False
    initialiser: MethodConfig = MethodConfig(name="model")
    topology: MethodConfig = MethodConfig(name="static")
    engine: MethodConfig = MethodConfig(name="auto")
    seed: int = 17
    device: str = "auto"
    training: Training = Training()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_older(cls, values: Any) -> Any:
        return _read_scaled(values) if isinstance(values, dict) else values

    @pydantic.field_validator("pattern", mode="before")
    @classmethod
    def _of_yaml(cls, value: Any) -> Any:
        return "2:4" if value == 2 * 60 + 4 else value  # which is what YAML reads in 2:4 without quotes

    def dense(self) -> Config:
        """The same with every weight kept: what sparse runs are compared with.

        Example:
            >>> Config(seed=3).dense().allocation.name
            'dense'
        """
        static = {"allocation": "dense", "density": 1.0, "topology": "static", "scaling": "none"}
        masks = {"pattern": "unstructured", "connect": False, "initialiser": "model"}
        return Config.from_values({**self.model_dump(), **static, **masks})

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Config:
        """Validates plain nested values; raises ConfigError naming each wrong one."""
        try:
            return cls.model_validate(_read_scaled(values))
        except pydantic.ValidationError as error:
            raise ConfigError("\n".join(_explain(item) for item in error.errors())) from None


def _read_scaled(values: dict[str, Any]) -> dict[str, Any]:
    """Reads the older setting ``scaled``: true is the scaling fan_in."""
    if "scaled" not in values:
        return values
    rest = {name: value for name, value in values.items() if name != "scaled"}
    try:
        scaled = pydantic.TypeAdapter(bool).validate_python(values["scaled"])
    except pydantic.ValidationError:
        raise ConfigError(f"scaled cannot be {values['scaled']!r}: it is a boolean, true or false.") from None
    name = MethodConfig.model_validate(rest.get("scaling", "none")).name
    if scaled and normalize_name(name) not in ("none", "fanin"):
        raise ConfigError(
            f"scaled is short for the scaling fan_in, and the scaling {name} is given too: leave one out."
        )
    return {**rest, "scaling": "fan_in"} if scaled else rest


def _explain(item: Any) -> str:
    """Formats a pydantic error as a sentence: which setting, the value given, what is allowed."""
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        model = Training if where.startswith("training.") else Config
        near = difflib.get_close_matches(where.rpartition(".")[2], model.model_fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"There is no setting {where!r}.{hint} Known: {', '.join(model.model_fields)}."
    return f"{where} cannot be {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}."


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a YAML file of settings as plain nested values; raises ConfigError when it is missing or no mapping.

    Example:
        >>> read_settings(Path("nowhere.yaml"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.config._model.ConfigError: There is no settings file nowhere.yaml. ...
    """
    if not path.is_file():
        raise ConfigError(
            f"There is no settings file {path}. Give a YAML file, for example the config.yaml of an earlier run."
        )
    try:
        values = read_yaml(path)
    except DocumentError as error:
        raise ConfigError(f"{error} Settings are YAML such as the config.yaml of an earlier run.") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; settings are a mapping such as `density: 0.1`.")
    return values


def dump_config(config: Config) -> str:
    """The config as YAML that `read_settings` gives back unchanged.

    Example:
        >>> print(dump_config(Config()).splitlines()[4])
        density: 0.05
    """
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


_YOUNGER = {
    "pattern": "unstructured",
    "connect": False,
    "initialiser": {"name": "model"},
    "accumulate": 1,
    "sync_norms": False,
    "recompute": False,
    "compression": "none",
    "regrow": False,
}


def compute_run_id(config: Config) -> str:
    """The run's id: the first 12 hexadecimal digits of SHA-256 of every value as JSON without spaces.

    A setting that is younger than the ids is left out where it has its default, so that runs keep their names;
    ``scaling`` is written as its predecessor ``scaled`` (true for fan_in), other scalings after it.

    Give it a *resolved* config (`rarefy.pipeline.resolve`), in which every method carries all of its options in order.

    Example:
        >>> compute_run_id(Config()) == compute_run_id(Config(seed=17)) != compute_run_id(Config(seed=18))
        True
    """
    values = _without_younger(_write_scaled(config.model_dump(mode="json")))
    values["training"] = _without_younger(values["training"])
    values["topology"] = _without_younger(values["topology"])
    text = json.dumps(values, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write_scaled(values: dict[str, Any]) -> dict[str, Any]:
    """Writes ``scaled`` in the place of ``scaling``, and ``scaling`` after it where that does not say everything."""
    name = normalize_name(values["scaling"]["name"])
    written: dict[str, Any] = {}
    for setting, value in values.items():
        written |= {"scaled": name == "fanin"} if setting == "scaling" else {}
        written |= {setting: value} if setting != "scaling" or name not in ("none", "fanin") else {}
    return written


def _without_younger(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != _YOUNGER.get(name, ...)}
