"""Keeps measured plans for the next run on the same machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.engines._inputs import get_first_tensor
from rarefy.engines._plan import CHANNELS_LAST, CONTIGUOUS, Plan, PlanError, read_plan, write_plan
from rarefy.paths import get_cache_folder
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")
_NOT_NOTED = {"noted": False}  # about this machine, and so not part of a run's record
MEASUREMENTS = 3
_MAX_SPREAD = 0.3  # interquartile range of sparse by dense, divided by the median: above it, the machine was busy
_MAX_SLOWDOWN, _OVERHEAD = 1.3, 1.0  # times the measured step, plus milliseconds for the other work of a training


def make_key(model: nn.Module, sparsity: Sparsity, inputs: Any, reasons: Mapping[str, str]) -> dict[str, Any]:
    """Describes what a plan depends on: machine, threads, versions, batch, model, counts, pattern, reasons."""
    batch = get_first_tensor(inputs)
    structure = hashlib.sha256(repr(model).encode()).hexdigest()[:16]
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    layers = [[layer.name, list(layer.shape), layer.kept] for layer in sparsity.layers()]
    return {
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "versions": {name: _find_version(name) for name in ("rarefy", "torch", "numba")},
        "batch": list(batch.shape),
        "order": [_name_layout([batch]), _name_layout(weights)],
        "dtype": str(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else batch.dtype),
        "model": structure,
        "layers": layers,
        "pattern": sparsity.masks.pattern,
        "reasons": dict(reasons),
        "needs": sorted(sparsity.topology.needs),
    }


def _name_layout(tensors: list[Tensor]) -> str:
    return CONTIGUOUS if all(tensor.is_contiguous() for tensor in tensors) else CHANNELS_LAST


def find_plan(key: dict[str, Any]) -> Plan | None:
    """Reads the plan of a key; None if there is none. A damaged file is named in a warning."""
    try:
        path = _locate_plan(key)
        if not path.is_file():
            return None
        plan, entries = read_plan(path)
    except OSError:  # `store_plan` says why nothing is kept
        return None
    except PlanError as error:
        _LOG.warning("%s Measuring again.", error, extra=_NOT_NOTED)
        return None
    if entries.get("key") != key or _must_renew(entries):
        return None
    return dataclasses.replace(plan, source="cache")


def store_plan(key: dict[str, Any], plan: Plan) -> Plan:
    """Writes a plan into the cache; a folder that cannot be written is named in a warning.

    Returns:
        The plan, with the name of its file.
    """
    try:
        path = _locate_plan(key)
        named = dataclasses.replace(plan, kept_as=path.name)
        entries = {"key": key, "measured": _count_measurements(path, key) + 1, "doubt": _describe_doubt(plan)}
        write_plan(dataclasses.replace(named, compile_seconds=0.0), path, **entries)
    except OSError as error:
        _LOG.warning("The measured plan could not be kept (%s): the next run measures again.", error, extra=_NOT_NOTED)
        return plan
    return named


def check_step_time(plan: Plan, milliseconds: float) -> bool:
    """Compares the steps of a training with the plan's measurement; where they are slower, later runs measure again.

    The training goes on with its plan, so that its results do not change. The next run of this kind renews the plan in
    the cache, at most `MEASUREMENTS` times in all.

    Args:
        plan: What `rarefy.use_engine` returned.
        milliseconds: The median of some steps of the training.

    Returns:
        Whether the steps are as fast as measured. True where nothing was measured.

    Example:
        >>> plan = Plan("auto", {"1.weight": "sparse"}, step_milliseconds={"dense": 30.0, "sparse": 10.0})
        >>> check_step_time(plan, 11.0), check_step_time(plan, 24.0)
        (True, False)
    """
    if not plan.sparse or not plan.step_milliseconds:
        return True
    measured = plan.step_milliseconds["sparse"]
    if milliseconds <= _MAX_SLOWDOWN * measured + _OVERHEAD:
        return True
    if re.fullmatch(r"[0-9a-f]{16}\.json", plan.kept_as):
        _store_doubt(plan, f"steps took {milliseconds:.3g} ms, {measured:.3g} had been measured")
    return False


def _store_doubt(plan: Plan, doubt: str) -> None:
    """Writes a doubt about a plan into its cache file, unless the plan was renewed meanwhile."""
    try:
        path = get_cache_folder() / "plans" / plan.kept_as
        stored, entries = read_plan(path)
        if stored.step_milliseconds == plan.step_milliseconds:
            write_plan(stored, path, **{**entries, "doubt": doubt})
    except (OSError, PlanError):  # a plan that is not in the cache is measured again anyway
        return


def _must_renew(entries: Mapping[str, object]) -> bool:
    measured = entries.get("measured", 1)
    return bool(entries.get("doubt")) and isinstance(measured, int) and measured < MEASUREMENTS


def _count_measurements(path: Path, key: dict[str, Any]) -> int:
    try:
        entries = read_plan(path)[1] if path.is_file() else {}
    except PlanError:
        return 0
    measured = entries.get("measured", 1)
    return measured if entries.get("key") == key and isinstance(measured, int) else 0


def _describe_doubt(plan: Plan) -> str:
    return f"the rounds were {plan.spread:.0%} apart" if plan.spread > _MAX_SPREAD else ""


def describe_machine() -> str:
    """Names the processor, its number of cores and its instruction set.

    Example:
        >>> "cores" in describe_machine()
        True
    """
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"


def _locate_plan(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return get_cache_folder() / "plans" / f"{digest}.json"


def _find_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
