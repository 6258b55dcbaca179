"""Resolves a config: builds every method that it names."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, TypeVar

import torch

from rarefy import data, engines, models, training
from rarefy.allocation import ALLOCATIONS
from rarefy.config import Config, ConfigError, MethodConfig, compute_run_id
from rarefy.masks import parse_pattern
from rarefy.registry import Registry
from rarefy.scaling import SCALINGS, ScalingRule
from rarefy.sparsity import INITIALISERS, Initialiser, check_connects, check_counts_stay, check_initialiser
from rarefy.topology import TOPOLOGIES, HasCountSchedule, Topology

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class ResolvedConfig:
    """A resolved config: the methods constructed, and the config with all their options filled in.

    Example:
        >>> resolve(Config()).config.allocation.name
        'erk'
    """

    config: Config
    dataset: data.Dataset
    model: models.Model
    allocation: Any
    scaling: ScalingRule
    initialiser: Initialiser
    topology: Topology
    engine: engines.Engine
    training: training.Settings
    device: torch.device

    @property
    def id(self) -> str:
        """The run's id: a hash of every resolved value."""
        return compute_run_id(self.config)


def resolve(config: Config) -> ResolvedConfig:
    """Builds every method that a config names, so that a typo fails before any data are read.

    Raises:
        UnknownName: If a name is not registered; UnknownOption: if an option does not fit; ConfigError: for the device.

    Example:
        >>> resolve(Config(allocation={"name": "ERK-plus"})).config.allocation
        MethodConfig(name='erk_plus', fc_density=1.0)
    """
    model = models.parse(config.model.name, **config.model.options)
    device = parse_device(config.device)
    dataset = data.parse(config.data.name, **config.data.options)
    allocation, allocation_choice = _build_method(ALLOCATIONS, config.allocation)
    scaling, scaling_choice = _build_method(SCALINGS, config.scaling)
    topology, topology_choice = _build_method(TOPOLOGIES, config.topology)
    check_counts_stay(scaling, topology)
    _check_selection(config.training.select, topology)
    pattern = parse_pattern(config.pattern)
    if config.connect:
        check_connects(pattern, topology)
    initialiser, initialiser_choice = _build_method(INITIALISERS, config.initialiser)
    check_initialiser(initialiser, scaling, pattern, connect=config.connect)
    engine, engine_choice = _build_method(engines.ENGINES, config.engine)
    optimizer, optimizer_choice = _build_method(training.OPTIMIZERS, config.training.optimizer)
    schedule, schedule_choice = _build_method(training.SCHEDULES, config.training.schedule)
    values = config.training.model_copy(update={"optimizer": optimizer_choice, "schedule": schedule_choice})
    choices = {
        "data": MethodConfig(**data.read_settings(dataset)),
        "model": MethodConfig(name=model.name),
        "allocation": allocation_choice,
        "scaling": scaling_choice,
        "topology": topology_choice,
        "pattern": pattern.name,
        "initialiser": initialiser_choice,
        "engine": engine_choice,
        "device": str(device),
        "training": values,
    }
    settings = training.Settings(values, optimizer, schedule)
    return ResolvedConfig(
        config.model_copy(update=choices),
        *(dataset, model, allocation, scaling, initialiser, topology, engine, settings, device),
    )


def _check_selection(select: str, topology: Topology) -> None:
    """Raises ConfigError if the best epoch may have other counts than the last."""
    if select == "best" and isinstance(topology, HasCountSchedule):
        raise ConfigError(
            f"select cannot be 'best' with the topology {TOPOLOGIES.name_of(topology)!r}: it changes how many weights "
            "are kept, and the best epoch may be one with other counts than the last. Use select=last.",
            name="select",
            value=select,
        )


def parse_device(name: str) -> torch.device:
    """Parses the name of a device; raises ConfigError if there is no such device here.

    Example:
        >>> parse_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise ConfigError(f"device cannot be {name!r}. Use auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device cannot be {name!r}: torch sees no CUDA device here. Use auto or cpu.")
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise ConfigError(f"device cannot be {name!r}: torch sees {torch.cuda.device_count()} CUDA device(s).")
    return device


def _build_method(registry: Registry[T], choice: MethodConfig) -> tuple[T, MethodConfig]:
    """Builds the method, and fills in every option of the choice."""
    method = registry.build(choice.name, **choice.options)
    options = json.loads(json.dumps(dataclasses.asdict(method)))  # type: ignore[call-overload]  # plain lists and numbers
    return method, MethodConfig(name=registry.name_of(method), **options)
