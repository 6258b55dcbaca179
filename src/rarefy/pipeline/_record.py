"""Builds the record of a run."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy
import torch

import rarefy
from rarefy import data, engines, records, training
from rarefy.pipeline._resolve import ResolvedConfig


def build_record(
    resolved: ResolvedConfig,
    state: training.State,
    engine: engines.Plan,
    *,
    epoch: int,
    splits: data.Splits,
    test: dict[str, Any],
    best_epoch: records.BestEpoch | None,
    files: dict[str, int],
    skipped: dict[str, int],
    notes: tuple[str, ...],
    name: str = "",
) -> records.Record:
    """Builds the record of a finished training; every count is taken from the tensors themselves."""
    sparsity = state.sparsity
    layers = [records.LayerCount(**vars(layer), density=layer.density) for layer in sparsity.layers()]
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    return records.Record(
        id=resolved.id,
        name=name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        config=resolved.config.model_dump(mode="json"),
        versions=read_versions(),
        environment=describe_environment(resolved.device) | {"ranks": state.world.ranks, "sharded": state.sharded},
        layers=tuple(layers),
        density=sparsity.density,
        params=records.Params(total=sparsity.total, kept=sparsity.kept, all=parameters),
        masks={"checksum": sparsity.masks.checksum(), "seed": sparsity.masks.seed},
        engine=dataclasses.asdict(engine),
        history=tuple(records.Epoch(**row) for row in state.history),
        selected_epoch=epoch,
        metrics={"test": test},
        best_epoch=best_epoch,
        timing=_summarize_timing(state.history, len(splits.train), resolved.device),
        spec=records.DataSpec(**dataclasses.asdict(splits.spec)),
        fingerprint=splits.fingerprint,
        notes=notes,
        files=files,
        skipped_images=skipped,
    )


def _summarize_timing(history: Sequence[Mapping[str, Any]], images: int, device: torch.device) -> records.Timing:
    seconds = statistics.median(row["seconds"] for row in history)
    return records.Timing(
        seconds_per_epoch=seconds,
        data_seconds=statistics.median(row["data_seconds"] for row in history),
        images_per_second=images / max(seconds, 1e-9),
        peak_memory_bytes=_read_peak_memory(device),
    )


def _read_peak_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def read_versions() -> dict[str, str]:
    """Versions of Python and the libraries that compute."""
    own = {"rarefy": rarefy.__version__, "python": platform.python_version()}
    kernels = {"numba": metadata.version("numba")} if importlib.util.find_spec("numba") else {}
    return own | {"torch": str(torch.__version__), "numpy": numpy.__version__} | kernels


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Description of the machine that computes."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
