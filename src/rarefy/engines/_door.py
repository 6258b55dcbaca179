"""The door of the room: which engine, and what it decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from torch import nn

from rarefy.registry import Registry
from rarefy.sparsity import Sparsity


@dataclasses.dataclass(frozen=True)
class Plan:
    """How each masked layer computes; part of the record.

    Args:
        engine: Name of the engine.
        layers: Layer name to how it computes (``"dense"``, ``"sparse"``, ...).

    Example:
        >>> Plan("masked", {"fc.weight": "dense"}).layers["fc.weight"]
        'dense'
    """

    engine: str
    layers: Mapping[str, str]


class Engine(Protocol):
    """Makes the masked layers of a model compute in some way, with the same results."""

    def __call__(self, model: nn.Module, sparsity: Sparsity) -> Plan:
        """Installs itself in the model and says what it decided."""


ENGINES: Registry[Engine] = Registry("engine", "engines")


def install(model: nn.Module, sparsity: Sparsity, engine: Engine) -> Plan:
    """Installs an engine in a sparse model.

    Args:
        model: The model that was given to `rarefy.sparsify`.
        sparsity: What it returned.
        engine: A built engine, e.g. ``ENGINES.build("masked")``.

    Returns:
        The plan: how each masked layer computes.

    Raises:
        RuntimeError: If the engine's plan leaves a masked layer out.

    Example:
        >>> import rarefy
        >>> model = nn.Linear(8, 4)
        >>> install(model, rarefy.sparsify(model, density=0.5), ENGINES.build("masked")).layers
        {'weight': 'dense'}
    """
    plan = engine(model, sparsity)
    missing = [name for name in sparsity.masks if name not in plan.layers]
    if missing:
        raise RuntimeError(f"The engine {plan.engine!r} has no plan for {missing[0]!r}.")
    return plan
