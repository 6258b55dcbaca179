"""Plans that were measured, kept for the next run on the same machine."""

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
from torch import nn

from rarefy.engines import _plan
from rarefy.engines._inputs import first_tensor
from rarefy.engines._plan import CHANNELS_LAST, Plan
from rarefy.paths import cache_folder
from rarefy.sparsity import Sparsity

_LOG = logging.getLogger("rarefy")
_NOT_NOTED = {"noted": False}  # of this machine, and so no part of a run's record
MEASUREMENTS = 3
_WIDE = 0.3  # the distance of the quartiles of sparse by dense, by their median: the machine was busy
_SLOWER, _BESIDE = 1.3, 1.0  # times the measured step, and milliseconds for what a training does beside it


def key(model: nn.Module, sparsity: Sparsity, sample: Any, reasons: Mapping[str, str]) -> dict[str, Any]:
    """What a plan is good for: machine, threads, versions, batch, model, weights kept, and what has to be dense."""
    batch = first_tensor(sample)
    structure = hashlib.sha256(repr(model).encode()).hexdigest()[:16]
    layers = [[layer.name, list(layer.shape), layer.kept] for layer in sparsity.layers()]
    return {
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("rarefy", "torch", "numba")},
        "batch": list(batch.shape),
        "order": "contiguous" if batch.is_contiguous() else CHANNELS_LAST,
        "dtype": str(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else batch.dtype),
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
    if beside.get("key") != about or _is_to_renew(beside):
        return None
    return dataclasses.replace(plan, source="cache")


def keep(about: dict[str, Any], plan: Plan) -> Plan:
    """Keeps a plan; a folder that cannot be written to is named, and no reason to stop.

    Returns:
        The plan, with the name under which it is kept.
    """
    try:
        path = _path(about)
        named = dataclasses.replace(plan, kept_as=path.name)
        beside = {"key": about, "measured": _times_measured(path, about) + 1, "doubt": _doubt(plan)}
        _plan.write(dataclasses.replace(named, compile_seconds=0.0), path, **beside)
    except OSError as error:
        _LOG.warning("The measured plan could not be kept (%s): the next run measures again.", error, extra=_NOT_NOTED)
        return plan
    return named


def check_step_time(plan: Plan, milliseconds: float) -> bool:
    """Compares the steps of a training with what was measured; where they are slower, later runs measure again.

    The training goes on as it is: its results are those of its plan. The kept plan is renewed by the next run of this
    kind, at most `MEASUREMENTS` times in all.

    Args:
        plan: What `rarefy.use_engine` returned.
        milliseconds: The median of some steps of the training.

    Returns:
        Whether the promise held. True where nothing was promised.

    Example:
        >>> plan = Plan("auto", {"1.weight": "sparse"}, step_milliseconds={"dense": 30.0, "sparse": 10.0})
        >>> check_step_time(plan, 11.0), check_step_time(plan, 24.0)
        (True, False)
    """
    if not plan.sparse or not plan.step_milliseconds:
        return True
    promised = plan.step_milliseconds["sparse"]
    if milliseconds <= _SLOWER * promised + _BESIDE:
        return True
    if re.fullmatch(r"[0-9a-f]{16}\.json", plan.kept_as):
        _doubt_kept(plan, f"steps took {milliseconds:.3g} ms, {promised:.3g} had been measured")
    return False


def _doubt_kept(plan: Plan, doubt: str) -> None:
    """Writes a doubt beside a kept plan, unless it was renewed meanwhile."""
    try:
        path = cache_folder() / "plans" / plan.kept_as
        kept, beside = _plan.read(path)
        if kept.step_milliseconds == plan.step_milliseconds:
            _plan.write(kept, path, **{**beside, "doubt": doubt})
    except (OSError, _plan.PlanError):  # a plan that is not kept is measured again anyhow
        return


def _is_to_renew(beside: Mapping[str, object]) -> bool:
    measured = beside.get("measured", 1)
    return bool(beside.get("doubt")) and isinstance(measured, int) and measured < MEASUREMENTS


def _times_measured(path: Path, about: dict[str, Any]) -> int:
    try:
        beside = _plan.read(path)[1] if path.is_file() else {}
    except _plan.PlanError:
        return 0
    measured = beside.get("measured", 1)
    return measured if beside.get("key") == about and isinstance(measured, int) else 0


def _doubt(plan: Plan) -> str:
    return f"the rounds were {plan.spread:.0%} apart" if plan.spread > _WIDE else ""


def describe_machine() -> str:
    """The processor: its name, number of cores and instruction set.

    Example:
        >>> "cores" in describe_machine()
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
