"""Shows several evaluated runs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rarefy.analysis._finished import read_runs
from rarefy.analysis._groups import group_runs
from rarefy.analysis._run_groups import name_groups
from rarefy.reports import EvaluatedRun, render_evaluation


def render_joint_page(folders: Sequence[Path], page: Path) -> list[Path]:
    """Writes one page of several evaluated runs side by side; runs that differ only in their seed share a name.

    Args:
        folders: Their folders.
        page: The file to write.

    Returns:
        The files written.

    Raises:
        CompareError: If a folder holds no finished run.
    """
    groups = group_runs(read_runs(folders))
    names = name_groups(groups)
    runs = [(name, run) for name, group in zip(names, groups, strict=True) for run in group.runs]
    return render_evaluation(
        [EvaluatedRun(run.record.model_dump(mode="json"), run.folder, name) for name, run in runs], page
    )
