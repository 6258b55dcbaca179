"""What a run needs to be one whose weights are sharded over processes."""

from __future__ import annotations

from torch import nn

from rarefy import engines, training
from rarefy.distributed import World
from rarefy.paths import RunPaths
from rarefy.pipeline._folder import LOG, RunError
from rarefy.pipeline._resolve import ResolvedConfig
from rarefy.sparsity import Sparsity


def shardable(resolved: ResolvedConfig, world: World) -> bool:
    """Whether there is anybody to share weights with.

    Raises:
        RunError: If the run needs what sharded weights cannot give.
    """
    values, engine, name = resolved.config.training, resolved.engine, resolved.config.engine.name
    if not (engine.supports_sharding or engine.fallback):
        raise RunError(f"--shard shares out dense weights, --engine {name} has none. Take --engine masked.")
    if values.diagnostics:
        raise RunError("--diagnostics looks at a copy of the whole network, which --shard is there to avoid.")
    if values.compile:
        raise RunError("--compile cannot be had with --shard, which gathers weights between what would be compiled.")
    if world.ranks == 1:
        LOG.warning("--shard has no effect: there is one process, which keeps all weights (torchrun starts several)")
    return world.ranks > 1


def shard_model(
    model: nn.Module, sparsity: Sparsity, resolved: ResolvedConfig, paths: RunPaths, world: World
) -> engines.Plan:
    """Gives each process its part of the model, whose layers stay dense; the engine's plan says so.

    Raises:
        RunError: If the run was begun with layers that store kept values only.
    """
    found = world.on_rank0(lambda: _dense_plan(model, sparsity, resolved, paths))
    training.shard(model, world, resolved.device, compression=resolved.config.training.compression)
    return found


def _dense_plan(model: nn.Module, sparsity: Sparsity, resolved: ResolvedConfig, paths: RunPaths) -> engines.Plan:
    """The plan, written down as any other."""
    engine, name = resolved.engine, resolved.config.engine.name
    found = engines.use_engine(model, sparsity, engine.fallback or engine, plan_file=paths.engine)
    if found.sparse:
        raise RunError(
            f"This run was begun with {len(found.sparse)} layers that store kept values only, which cannot be sharded. "
            "Go on without --shard, or begin a run with --engine masked."
        )
    if engine.fallback:
        LOG.info("engine %s: all layers stay dense, which is what --shard works with", name, extra={"shown": True})
    return found
