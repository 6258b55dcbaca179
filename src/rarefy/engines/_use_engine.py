"""Puts an engine in a model, and takes it out again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import nn

from rarefy.engines import _plan
from rarefy.engines._budget import limit_measuring
from rarefy.engines._cpu import fuse, get_compile_seconds, require_numba, unfuse
from rarefy.engines._gpu import get_dense_reasons, require_gpu_support
from rarefy.engines._inputs import take_few
from rarefy.engines._measure import make_training_step, preserve_rng
from rarefy.engines._plan import Plan, PlanError, read_plan, write_plan
from rarefy.engines._semi_structured import make_semi_structured, undo_semi_structured
from rarefy.engines._swap import get_unsupported_reasons, make_layers_dense, make_layers_sparse
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
    epoch_steps: int | None = None,
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
        epoch_steps: Number of steps of the first epoch: ``auto`` measures for 3% of its time, at least 5 and at most 20
            seconds. Without it, for at most 20 seconds.

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
    plan = _load_plan(plan_file, sparsity) if plan_file is not None and plan_file.is_file() else None
    if plan is None:
        decide = ENGINES.build(engine) if isinstance(engine, str) else engine
        with limit_measuring(epoch_steps):
            plan = decide(model, sparsity, inputs)
        if plan.layout and change_layout:
            plan = _stay_dense(plan)
        if plan_file is not None:
            write_plan(plan, plan_file)
    _check_plan(plan, model, sparsity)
    if change_layout:
        _plan.change_layout(model, plan.layout)
    if plan.sparse:
        plan = _compile_kernels(plan, model, sparsity, inputs)
        make_layers_sparse(model, sparsity, plan.sparse)
        fuse(model)
    for name in plan.semi_structured:
        make_semi_structured(sparsity.masked_model.modules()[name])
    _log_plan(plan, prunes=sparsity.kept < sparsity.total)
    return plan


def _compile_kernels(plan: Plan, model: nn.Module, sparsity: Sparsity, inputs: Any) -> Plan:
    """Compiles the kernels that a plan needs, if there are inputs for a training step of a copy; returns the times."""
    require_numba()
    if inputs is None or plan.source == "measured":
        return plan
    seconds = get_compile_seconds()
    try:
        with preserve_rng():
            make_training_step(model, sparsity, plan.sparse, take_few(inputs))()
    except Exception as error:  # a model may do anything; what it needs is compiled at its first step
        _LOG.info("The kernels could not be compiled beforehand (%s: %s)", type(error).__name__, error)
    return dataclasses.replace(plan, compile_seconds=round(plan.compile_seconds + get_compile_seconds() - seconds, 3))


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
    undo_semi_structured(model)
    if not sparsity.masked_model.sparse_layers():
        return
    sparsity.detach()
    unfuse(model)
    make_layers_dense(model, sparsity)


def _log_plan(plan: Plan, *, prunes: bool) -> None:
    """Logs how the layers compute; shown on the screen where the reader may wonder why none is sparse."""
    if plan.sparse or plan.semi_structured or plan.reason:
        _LOG.info(plan.summary(), extra={"shown": bool(plan.reason or plan.layout) and prunes})


def _stay_dense(plan: Plan) -> Plan:
    """Returns the plan of dense layers in the memory layout that was the fastest."""
    dense, sparse = plan.step_milliseconds[plan.layout], plan.step_milliseconds["sparse"]
    reason = f"dense layers in the layout {plan.layout}, now theirs, take {dense:.3g} ms a step, sparse {sparse:.3g}"
    return dataclasses.replace(plan, layers=dict.fromkeys(plan.layers, "dense"), reason=reason)


def _load_plan(path: Path, sparsity: Sparsity) -> Plan | None:
    """Reads the plan of a run; None, with a warning, where the file is damaged."""
    try:
        plan, _ = read_plan(path)
    except PlanError as error:
        _LOG.warning("%s The engine decides again.", error, extra={"noted": False})  # the message has a local path
        return None
    if list(plan.layers) != list(sparsity.masks):
        raise PlanError(f"The plan in {path} is of another model: it has other layers. Move it away.")
    return dataclasses.replace(plan, source=path.name, compile_seconds=0.0)


def _check_plan(plan: Plan, model: nn.Module, sparsity: Sparsity) -> None:
    missing = [name for name in sparsity.masks if name not in plan.layers]
    if missing:
        raise MethodError(f"The engine {plan.engine!r} has no plan for {missing[0]!r}.")
    reasons = [(name, why) for name, why in get_unsupported_reasons(model, sparsity).items() if name in plan.sparse]
    if plan.semi_structured:
        require_gpu_support(sparsity)
        reasons += [(name, why) for name, why in get_dense_reasons(sparsity).items() if name in plan.semi_structured]
    for name, reason in reasons:
        if reason:
            raise MethodError(f"The engine {plan.engine!r} makes {name!r} sparse, but it {reason}.")
