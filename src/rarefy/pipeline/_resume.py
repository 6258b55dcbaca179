"""Loads the last checkpoint of a run, and compares how it was trained with how it goes on."""

from __future__ import annotations

from typing import Any

from rarefy import data, training
from rarefy.config import Training
from rarefy.distributed import World
from rarefy.paths import RunPaths
from rarefy.pipeline._folder import LOG
from rarefy.pipeline._resolve import ResolvedConfig
from rarefy.pipeline._same_data import require_same_data


def load_checkpoint(
    resolved: ResolvedConfig, paths: RunPaths, splits: data.Splits, world: World
) -> dict[str, Any] | None:
    """Loads the last checkpoint, if there is one; raises OtherData if it was trained on other data."""
    resume = world.on_rank0(lambda: training.load_checkpoint(paths.checkpoint, run=resolved.id))
    if resume:
        require_same_data(paths.folder, resume["about"].get("data"), splits.fingerprint)
    LOG.info("%s run %s", "continuing" if resume else "starting", resolved.id)
    _warn_about_rank_change(resume, world, resolved.config.training)
    return resume


def _warn_about_rank_change(resume: dict[str, Any] | None, world: World, values: Training) -> None:
    """Warns if a run is resumed with another number of processes, and says what that changes."""
    before = resume.get("ranks", 1) if resume else world.ranks
    if before == world.ranks or not world.is_rank0:
        return
    shares = f"{values.batch_size / before:g} to {values.batch_size / world.ranks:g} images a process"
    norms = "" if values.sync_norms else " Batch norms see that many images, where there are any (--sync-norms: all)."
    LOG.warning(
        "This run was started by %d process(es) and resumes with %d. The batch stays at %d images, the masks and "
        "the order of images do not change; the local batch goes from %s.%s",
        *(before, world.ranks, values.batch_size, shares, norms),
    )
