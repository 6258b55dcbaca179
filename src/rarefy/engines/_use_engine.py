"""Puts an engine in a model, and takes it out again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from rarefy.engines import _plan
from rarefy.engines._cpu import compile_kernels, fuse, unfuse
from rarefy.engines._gpu import reasons, require
from rarefy.engines._plan import Plan
from rarefy.engines._semi_structured import make_dense, make_semi_structured
from rarefy.engines._swap import obstacles, restore, swap
from rarefy.errors import MethodError
from rarefy.registry import Registry
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")


class Engine(Protocol):
    """Decides how the masked layers of a model compute. The results are the same for every engine.

    Attributes:
        supports_compile: Whether `torch.compile` may compile a model with this engine.
        supports_sharding: Whether the weights may be sharded over processes.
        fallback: Name of the engine that takes its place where it does not support what a run needs; empty for an
            error instead.
    """

    supports_compile: ClassVar[bool]
    supports_sharding: ClassVar[bool]
    fallback: ClassVar[str]

    def __call__(self, model: nn.Module, sparsity: Sparsity, inputs: Any) -> Plan:
        """Decides for every masked layer; `use_engine` then changes the layers.

        Args:
            model: The model, with dense layers.
            sparsity: Its masks.
            inputs: A batch of inputs as in training, or None.

        Returns:
            The plan. Layers that it calls ``"sparse"`` will store kept values only.
        """


ENGINES: Registry[Engine] = Registry("engine", "engines")


def use_engine(
    model: nn.Module,
    sparsity: Sparsity,
    engine: str | Callable[[nn.Module, Sparsity, Any], Plan],
    *,
    inputs: Any = None,
    plan_file: Path | None = None,
    change_layout: bool = False,
) -> Plan:
    """Makes a sparse model compute with an engine, in place of the one it has.

    Layers that become sparse get a Parameter of their kept values alone. So make the optimizer afterwards, from
    ``model.parameters()``, and attach it then.

    Args:
        model: The model that was given to `rarefy.sparsify`.
        sparsity: What it returned.
        engine: A name (``"auto"``, ``"cpu"``, ``"masked"``, ``"nm"``) or an engine itself.
        inputs: A batch of inputs as in training, on which ``auto`` measures.
        plan_file: File of the plan. If it exists, its plan is used, so that a resumed run computes as before; if not,
            it is written.
        change_layout: Whether the weights may change to another memory layout, where ``auto`` finds that dense layers
            are the fastest in it. If not, the plan only reports it.

    Returns:
        The plan: how each masked layer computes, and why.

    Raises:
        ValueError: If optimizers are attached already, the engine does not work here (KernelsMissing: numba cannot be
            imported), or the file's plan belongs to another model.
        RuntimeError: If the engine's plan omits a masked layer.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> use_engine(model, rarefy.sparsify(model, density=0.5), "masked").layers
        {'0.weight': 'dense', '2.weight': 'dense'}
    """
    use_dense(model, sparsity)
    plan = _kept(plan_file, sparsity) if plan_file is not None and plan_file.is_file() else None
    if plan is None:
        chosen = ENGINES.build(engine) if isinstance(engine, str) else engine
        plan = chosen(model, sparsity, inputs)
        if plan.layout and change_layout:
            plan = _in_other_layout(plan)
        if plan_file is not None:
            _plan.write(plan, plan_file)
    _check(plan, model, sparsity)
    if plan.layout and change_layout:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    if plan.sparse:
        plan = dataclasses.replace(plan, compile_seconds=round(plan.compile_seconds + compile_kernels(), 3))
        swap(model, sparsity, plan.sparse)
        fuse(model)
    for name in plan.semi_structured:
        make_semi_structured(sparsity.owners()[name])
    if plan.sparse or plan.semi_structured or plan.reason:
        prunes = sparsity.kept < sparsity.total
        shown = bool(plan.reason or plan.layout) and prunes  # on the screen: why nothing is sparse
        _LOG.info(plan.summary(), extra={"shown": shown})
    return plan


def use_dense(model: nn.Module, sparsity: Sparsity) -> None:
    """Makes every layer of a model dense again: kept weights bit for bit, others exactly 0.

    Attached optimizers hold the kept values of sparse layers. So where there are sparse layers, all optimizers are
    detached.

    Args:
        model: The model that was given to `use_engine`.
        sparsity: Its sparsity.

    Example:
        >>> import rarefy
        >>> model = nn.Sequential(nn.Linear(8, 4))
        >>> sparsity = rarefy.sparsify(model, density=0.5)
        >>> _ = use_engine(model, sparsity, "masked")
        >>> use_dense(model, sparsity)
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
