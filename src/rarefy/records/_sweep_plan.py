"""What a sweep set out to run: its title and the ids of its runs, kept beside the runs for reports."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from rarefy.paths import find_sweep_plans, name_sweep_plan, replace_file


class SweepPlan(pydantic.BaseModel):
    """The plan of a sweep: a JSON in the folder ``sweeps`` beside the runs.

    Example:
        >>> SweepPlan(name="depth", runs={"3f2a9c1b77de": "erk 0.1 seed 17"}).title
        ''
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    name: str = Field(description="Name of the sweep's file, with its scale.")
    title: str = Field("", description="Title in the sweep's file.")
    about: dict[str, Any] = Field(default_factory=dict, description="What its file says about it.")
    started: str = Field("", description="When it was first started, ISO 8601, UTC.")
    runs: dict[str, str] = Field(description="Ids of its runs, each with a short description.")


def write_sweep_plan(plan: SweepPlan, out: Path) -> Path:
    """Writes a sweep's plan beside its runs; the date of an earlier plan of that name stays.

    Args:
        plan: The plan.
        out: Parent folder of the runs.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp())
        >>> _ = write_sweep_plan(SweepPlan(name="depth", title="Depth", runs={}), out)
        >>> [(plan.title, len(plan.started)) for plan in read_sweep_plans(out)]
        [('Depth', 25)]
    """
    path = name_sweep_plan(out, plan.name)
    earlier = _read_plan(path)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    dated = plan.model_copy(update={"started": earlier.started if earlier else now})
    with replace_file(path) as partial:
        partial.write_text(dated.model_dump_json(indent=1) + "\n", "utf-8")
    return path


def read_sweep_plans(out: Path) -> list[SweepPlan]:
    """Reads the plans of the sweeps whose runs are in a folder, the earliest first; damaged ones are left out."""
    plans = [plan for path in find_sweep_plans(out) if (plan := _read_plan(path))]
    return sorted(plans, key=lambda plan: (plan.started, plan.name))


def _read_plan(path: Path) -> SweepPlan | None:
    try:
        return SweepPlan.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
