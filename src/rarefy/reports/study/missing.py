"""What is missing: gaps in the grid, unfinished runs, too few seeds, parts not evaluated; and what fills it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rarefy.reports.pages import Block, Column, Note, Section, Table, format_plural, format_share
from rarefy.reports.study._study import RunGroup, Study
from rarefy.reports.study.parts import ATTACKS, OOD, PARTS, Part, find_metrics

SWEEP = "missing.yaml"
FEW = 3  # seeds, below which an interval says little


def build_section(study: Study) -> Section:
    """Builds the section: one table per kind of gap, and the command that fills it."""
    about = (
        f"Methods and densities that were run on some networks but not on all; groups of fewer than {FEW} "
        "seeds; parts of an evaluation that some runs lack."
    )
    blocks: list[Block] = [
        *_list_gaps(study), *_list_unfinished(study), *_list_few_seeds(study), *_describe_sweep(study),
        *_list_unevaluated(study),
    ]  # fmt: skip
    return Section("missing", "What is missing", about, blocks or [Note("Nothing.")])


def _list_gaps(study: Study) -> Iterator[Block]:
    """Lists combinations of method and density that other networks have."""
    everywhere = dict.fromkeys((group.method, group.density) for group in study.groups if group.moved)
    rows: list[tuple[str, str, tuple[float, ...]]] = []
    for network, groups in study.networks.items():
        here = {(group.method, group.density) for group in groups}
        lacking: dict[str, list[float]] = {}
        for method, density in (pair for pair in everywhere if pair not in here):
            lacking.setdefault(method, []).append(density)
        rows += [(network, method, tuple(sorted(densities))) for method, densities in lacking.items()]
    if rows:
        columns = (
            Column("network", is_text=True),
            Column("method", is_text=True),
            Column("densities without a run", _join_densities, is_text=True),
        )
        caption = "Not run here, but on other networks"
        yield Table("table-holes", caption, columns, rows, heads=2)


def _join_densities(densities: tuple[float, ...]) -> str:
    return ", ".join(map(format_share, densities))


def _list_unfinished(study: Study) -> Iterator[Block]:
    rows = tuple(
        (run.folder, run.group.network, run.group.method, run.group.density, run.seed, run.state)
        for run in study.unfinished
    )
    if rows:
        columns = (
            *(Column(name, is_text=True) for name in ("folder", "network", "method")),
            *(Column("density", format_share), Column("seed"), Column("state", is_text=True)),
        )
        yield Table("table-unfinished", "Started, without a record", columns, rows)


def _list_few_seeds(study: Study) -> Iterator[Block]:
    few = [group for group in study.groups if group.moved and len(group.seeds) < FEW]
    rows = tuple((group.network, group.method, group.density, ", ".join(map(str, group.seeds))) for group in few)
    if rows:
        columns = (
            *(Column("network", is_text=True), Column("method", is_text=True)),
            *(Column("density", format_share), Column("seeds", is_text=True)),
        )
        yield Table("table-few-seeds", f"Fewer than {FEW} seeds", columns, rows, heads=2)


def _describe_sweep(study: Study) -> Iterator[Block]:
    runs = list_missing_runs(study)
    if runs:
        out = PurePath(study.groups[0].folders[0]).parent
        command = f"rarefy sweep {shlex.quote(f'{study.files}/{SWEEP}')} --out {shlex.quote(str(out))}"
        text = f"The {format_plural(len(runs), 'run')} that these tables lack ({FEW} seeds each) are a sweep;"
        yield Note(text, command, "trains them, and resumes those that were started.")


def list_missing_runs(study: Study) -> list[Mapping[str, Any]]:
    """Lists the settings of runs that were started, and of those that fill gaps and give every group 3 seeds."""
    donors: dict[tuple[str, float], RunGroup] = {}
    for group in (group for group in study.groups if group.moved):
        donors.setdefault((group.method, group.density), group)
    started: dict[tuple[str, str, float], list[int]] = {}
    for run in study.unfinished:
        started.setdefault((run.group.network, run.group.method, run.group.density), []).append(run.seed)
    seeds = sorted({seed for group in study.groups for seed in group.seeds})
    seeds = [*seeds, *range(seeds[-1] + 1, seeds[-1] + FEW)]
    runs = [run.config for run in study.unfinished]
    for network, groups in study.networks.items():
        here = {(group.method, group.density): group for group in groups}
        for pair, donor in donors.items():
            have = [*(here[pair].seeds if pair in here else ()), *started.get((network, *pair), ())]
            lacking = [seed for seed in seeds if seed not in have][: max(0, FEW - len(have))]
            runs += [_combine_settings(here.get(pair, groups[0]), donor) | {"seed": seed} for seed in lacking]
    return runs


def _combine_settings(like: RunGroup, donor: RunGroup) -> dict[str, Any]:
    """Returns the settings of one group with the sparsity of another."""
    sparsity: Mapping[str, Any] = donor.records[0]["config"]
    return {**like.records[0]["config"], **{name: sparsity[name] for name in _SPARSITY if name in sparsity}}


_SPARSITY = ("allocation", "density", "topology")


def write_sweep(study: Study) -> bytes:
    """Writes the missing runs as a file for `rarefy sweep`."""
    import yaml

    about = "Runs that a report lacks: those that were started, gaps in its grid, groups of few seeds."
    return yaml.safe_dump(
        {"about": about, "list": [dict(run) for run in list_missing_runs(study)]}, sort_keys=False
    ).encode()


def _list_unevaluated(study: Study) -> Iterator[Block]:
    for part in PARTS:
        lacking = [group for group in study.groups if not _has_part(group, part)]
        if lacking:
            count = sum(len(group.records) for group in lacking)
            text = f"{part.title} was not computed, or not alike, for {format_plural(count, 'run')};"
            yield Note(text, _make_command(study, part), "adds it.")


def _has_part(group: RunGroup, part: Part) -> bool:
    """Says whether all runs of a group have numbers of a part: a group has no metric that only some runs have."""
    return any(name != "loss" for name in find_metrics(Study((group,), ()), part))


def _make_command(study: Study, part: Part) -> str:
    """Makes the command that computes for all runs what some of them have."""
    flag = part.flags.split()[0]
    known = find_metrics(study, part)
    if known and part in (OOD, ATTACKS):
        before, _, after = part.metrics[0].partition("*")
        names = [metric.removeprefix(before).removesuffix(after) for metric in known]
        return f"rarefy eval {study.folders} {flag} {','.join(names)}"
    return f"rarefy eval {study.folders} {part.flags}"
