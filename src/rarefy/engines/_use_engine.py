"""The door of the room: an engine decides how each layer computes, and the door makes it so."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from rarefy.engines import _plan
from rarefy.engines._cpu import fuse, ready, unfuse
from rarefy.engines._gpu import reasons, require
from rarefy.engines._plan import Plan
from rarefy.engines._semi_structured import make_dense, make_semi_structured
from rarefy.engines._swap import obstacles, restore, swap
from rarefy.errors import MethodError
from rarefy.registry import Registry
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")


class Engine(Protocol):
    """Decides how the masked layers of a model compute; the results are the same, whatever it decides."""

    def __call__(self, model: nn.Module, sparsity: Sparsity, sample: Any) -> Plan:
        """The plan; `install` makes the layers it calls ``"sparse"`` store kept values only."""


ENGINES: Registry[Engine] = Registry("engine", "engines")


def install(
    model: nn.Module,
    sparsity: Sparsity,
    engine: str | Engine,
    sample: Any = None,
    *,
    plan_file: Path | None = None,
    change_layout: bool = False,
) -> Plan:
    """Installs an engine in a sparse model, in place of the one that is there.

    Layers that become sparse get a Parameter of their kept values alone, so make the optimizer afterwards, from
    ``model.parameters()``, and attach it then.

    Args:
        model: The model that was given to `rarefy.sparsify`.
        sparsity: What it returned.
        engine: A name (``"auto"``, ``"cpu"``, ``"masked"``, ``"nm"``) or a built engine.
        sample: A batch of inputs as in training, on which ``auto`` measures, and by which sparse layers are joined
            with what lies between them.
        plan_file: Where the plan is kept: one that is there is followed, so that a resumed run computes as it began.
        change_layout: Whether the weights may be brought into another order of memory, where ``auto`` finds that dense
            layers are the fastest so; if not, this is only said.

    Returns:
        The plan: how each masked layer computes, and why.

    Raises:
        ValueError: If optimizers are attached already, the engine cannot be had here (KernelsMissing: numba cannot be
            imported), or the file's plan is of another model.
        RuntimeError: If the engine's plan leaves a masked layer out.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> install(model, rarefy.sparsify(model, density=0.5), "masked").layers
        {'0.weight': 'dense', '2.weight': 'dense'}
    """
    remove(model, sparsity)
    plan = _kept(plan_file, sparsity) if plan_file is not None and plan_file.is_file() else None
    if plan is None:
        chosen = ENGINES.build(engine) if isinstance(engine, str) else engine
        plan = chosen(model, sparsity, sample)
        if plan.layout and change_layout:
            plan = _in_other_layout(plan)
        if plan_file is not None:
            _plan.write(plan, plan_file)
    _check(plan, model, sparsity)
    if plan.layout and change_layout:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    if plan.sparse:
        plan = dataclasses.replace(plan, compile_seconds=round(plan.compile_seconds + ready(), 3))
        swap(model, sparsity, plan.sparse)
        fuse(model)
    for name in plan.semi_structured:
        make_semi_structured(sparsity.owners()[name])
    if plan.sparse or plan.semi_structured or plan.reason:
        prunes = sparsity.kept < sparsity.total
        shown = bool(plan.reason or plan.layout) and prunes  # on the screen: why nothing is sparse
        _LOG.info(plan.summary(), extra={"shown": shown})
    return plan


def remove(model: nn.Module, sparsity: Sparsity) -> None:
    """Makes every layer dense again: kept weights bit for bit, others exactly 0.

    Optimizers that are attached hold the values of layers that store these alone: where there are such layers, all
    optimizers are detached.

    Args:
        model: The model that an engine was installed in.
        sparsity: Its sparsity.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Linear(8, 4))
        >>> sparsity = rarefy.sparsify(model, density=0.5)
        >>> _ = install(model, sparsity, "masked")
        >>> remove(model, sparsity)
        >>> model
        Sequential(
          (0): Linear(in_features=8, out_features=4, bias=True)
        )
    """
    make_dense(model)
    if not sparsity.compact():
        return
    sparsity.detach()
    unfuse(model)
    restore(model, sparsity)


def _in_other_layout(plan: Plan) -> Plan:
    """The plan of dense layers in the order of memory that was the fastest."""
    now, sparse = plan.step_milliseconds[plan.layout], plan.step_milliseconds["sparse"]
    reason = (
        f"dense layers in the order {plan.layout}, which they have now, take {now:.3g} ms a step, sparse {sparse:.3g}"
    )
    return dataclasses.replace(plan, layers=dict.fromkeys(plan.layers, "dense"), reason=reason)


def _kept(path: Path, sparsity: Sparsity) -> Plan | None:
    """The plan in a file; None, and a word about it, where the file is damaged."""
    try:
        plan, _ = _plan.read(path)
    except _plan.PlanError as error:
        _LOG.warning("%s The engine decides anew.", error, extra={"noted": False})  # it names a place
        return None
    if list(plan.layers) != list(sparsity.masks):
        raise _plan.PlanError(f"The plan in {path} is of another model: it has other layers. Move it away.")
    return dataclasses.replace(plan, source=path.name, compile_seconds=0.0)


def _check(plan: Plan, model: nn.Module, sparsity: Sparsity) -> None:
    missing = [name for name in sparsity.masks if name not in plan.layers]
    if missing:
        raise MethodError(f"The engine {plan.engine!r} has no plan for {missing[0]!r}.")
    wrong = [(name, reason) for name, reason in obstacles(model, sparsity).items() if reason and name in plan.sparse]
    if plan.semi_structured:
        require(sparsity)
        wrong += [(name, why) for name, why in reasons(sparsity).items() if why and name in plan.semi_structured]
    if wrong:
        raise MethodError(f"The engine {plan.engine!r} makes {wrong[0][0]!r} sparse, but it {wrong[0][1]}.")
