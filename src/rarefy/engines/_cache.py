"""Plans that were measured, kept for the next run on the same machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.engines import _plan
from rarefy.engines._plan import Plan
from rarefy.paths import cache_folder
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")
_NOT_NOTED = {"noted": False}  # of this machine, and so no part of a run's record


def key(model: nn.Module, sparsity: Sparsity, sample: Tensor, reasons: Mapping[str, str]) -> dict[str, Any]:
    """What a plan is good for: machine, threads, versions, batch, model, weights kept, and what has to be dense."""
    structure = hashlib.sha256(repr(model).encode()).hexdigest()[:16]
    layers = [[layer.name, list(layer.shape), layer.kept] for layer in sparsity.layers()]
    return {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("rarefy", "torch", "numba")},
        "batch": list(sample.shape),
        "dtype": str(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else sample.dtype),
        "model": structure,
        "layers": layers,
        "reasons": dict(reasons),
        "needs": sorted(sparsity.topology.needs),
    }


def find(about: dict[str, Any]) -> Plan | None:
    """The plan kept for a key; None if there is none. A damaged file is named."""
    try:
        path = _path(about)
        if not path.is_file():
            return None
        plan, beside = _plan.read(path)
    except OSError:  # `keep` says why nothing is kept
        return None
    except _plan.PlanError as error:
        _LOG.warning("%s Measuring again.", error, extra=_NOT_NOTED)
        return None
    return dataclasses.replace(plan, source=path.name) if beside.get("key") == about else None


def keep(about: dict[str, Any], plan: Plan) -> None:
    """Keeps a plan; a folder that cannot be written to is named, and no reason to stop."""
    try:
        _plan.write(dataclasses.replace(plan, compile_seconds=0.0), _path(about), key=about)
    except OSError as error:
        _LOG.warning("The measured plan could not be kept (%s): the next run measures again.", error, extra=_NOT_NOTED)


def machine() -> str:
    """The processor: its name, number of cores and instruction set.

    Example:
        >>> "cores" in machine()
        True
    """
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text(errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"


def _path(about: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "plans" / f"{digest}.json"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
