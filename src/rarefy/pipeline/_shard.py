"""Shards the weights of a run over processes."""

from __future__ import annotations

from torch import nn

from rarefy import engines, training
from rarefy.distributed import World
from rarefy.paths import RunPaths
from rarefy.pipeline._folder import LOG, RunError
from rarefy.pipeline._resolve import ResolvedConfig
from rarefy.sparsity import Sparsity


def can_shard(resolved: ResolvedConfig, world: World) -> bool:
    """Whether there are several processes to shard weights over.

    Raises:
        RunError: If a setting of the run does not work with sharded weights.
    """
    values, engine, name = resolved.config.training, resolved.engine, resolved.config.engine.name
    if not (engine.supports_sharding or engine.fallback):
        raise RunError(f"--shard splits dense weights, and --engine {name} has none. Use --engine masked.")
    if values.diagnostics:
        raise RunError("--diagnostics needs a copy of the whole network, which --shard is there to avoid.")
    if values.compile:
        raise RunError("--compile does not work with --shard, which gathers weights between compiled regions.")
    if world.ranks == 1:
        LOG.warning("--shard has no effect: there is one process, which keeps all weights (torchrun starts several)")
    return world.ranks > 1


def shard_model(
    model: nn.Module, sparsity: Sparsity, resolved: ResolvedConfig, paths: RunPaths, world: World
) -> engines.Plan:
    """Gives each process its part of the model; all layers stay dense, which the returned plan says.

    Raises:
        RunError: If the run was started with sparse layers.
    """
    plan = world.on_rank0(lambda: _make_dense_plan(model, sparsity, resolved, paths))
    training.shard(model, world, resolved.device, compression=resolved.config.training.compression)
    return plan


def _make_dense_plan(model: nn.Module, sparsity: Sparsity, resolved: ResolvedConfig, paths: RunPaths) -> engines.Plan:
    """Makes and writes the plan of an all-dense model."""
    engine, name = resolved.engine, resolved.config.engine.name
    plan = engines.use_engine(model, sparsity, engine.fallback or engine, plan_file=paths.engine)
    if plan.sparse:
        raise RunError(
            f"This run was started with {len(plan.sparse)} sparse layers, which cannot be sharded. "
            "Resume it without --shard, or start a run with --engine masked."
        )
    if engine.fallback:
        LOG.info("engine %s: all layers stay dense, which is what --shard works with", name, extra={"shown": True})
    return plan
