"""What is missing: holes in the grid, runs without a record, too few seeds, parts not evaluated; and what fills it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rarefy.reports._evaluation._blocks import Note
from rarefy.reports._study._blocks import Block, Section, Sheet
from rarefy.reports._study._study import Cell, Study
from rarefy.reports._study._tables import Column, Table
from rarefy.reports._study.evaluated import ATTACKS, OOD, PARTS, Part, metrics_of

SWEEP = "missing.yaml"
FEW = 3  # seeds below which an interval says little


def missing(study: Study) -> Section:
    """A table a kind of hole, and the command that fills it."""
    about = (
        f"Every method and density that was run on some network, asked of every network; groups of fewer than {FEW} "
        "seeds; parts of an evaluation that some runs lack."
    )
    blocks: list[Block] = [*_holes(study), *_unfinished(study), *_few(study), *_sweep(study), *_unevaluated(study)]
    return Section("missing", "What is missing", about, blocks or [Note("Nothing.")])


def _holes(study: Study) -> Iterator[Block]:
    """Combinations of method and density that other networks have."""
    everywhere = dict.fromkeys((cell.method, cell.density) for cell in study.cells if cell.moved)
    rows: list[tuple[str, str, tuple[float, ...]]] = []
    for panel, cells in study.panels.items():
        here = {(cell.method, cell.density) for cell in cells}
        lacking: dict[str, list[float]] = {}
        for method, density in (pair for pair in everywhere if pair not in here):
            lacking.setdefault(method, []).append(density)
        rows += [(panel, method, tuple(sorted(densities))) for method, densities in lacking.items()]
    if rows:
        columns = (
            Column("network", words=True),
            Column("method", words=True),
            Column("densities without a run", lambda found: ", ".join(f"{density:g}" for density in found), words=True),
        )
        caption = "Not run here, but on other networks"
        yield Sheet(Table("table-holes", caption, columns, tuple(rows), heads=2))


def _unfinished(study: Study) -> Iterator[Block]:
    rows = tuple(
        (run.folder, run.cell.panel, run.cell.method, run.cell.density, run.seed, run.state) for run in study.unfinished
    )
    if rows:
        columns = (
            *(Column(name, words=True) for name in ("folder", "network", "method")),
            *(Column("density", "{:g}".format), Column("seed"), Column("state", words=True)),
        )
        yield Sheet(Table("table-unfinished", "Begun, without a record", columns, rows))


def _few(study: Study) -> Iterator[Block]:
    few = [cell for cell in study.cells if cell.moved and len(cell.seeds) < FEW]
    rows = tuple((cell.panel, cell.method, cell.density, ", ".join(map(str, cell.seeds))) for cell in few)
    if rows:
        columns = (
            *(Column("network", words=True), Column("method", words=True)),
            *(Column("density", "{:g}".format), Column("seeds", words=True)),
        )
        yield Sheet(Table("table-few-seeds", f"Fewer than {FEW} seeds", columns, rows, heads=2))


def _sweep(study: Study) -> Iterator[Block]:
    found = runs_to_add(study)
    if found:
        out = PurePath(study.cells[0].folders[0]).parent
        command = f"rarefy sweep {shlex.quote(f'{study.files}/{SWEEP}')} --out {shlex.quote(str(out))}"
        text = f"The {len(found)} run{'s' * (len(found) != 1)} that these tables lack ({FEW} seeds each) are a sweep;"
        yield Note(text, command, "trains them, and goes on with those that were begun.")


def runs_to_add(study: Study) -> list[Mapping[str, Any]]:
    """Settings of the runs that were begun, and of those that would fill holes and give every group 3 seeds."""
    donors: dict[tuple[str, float], Cell] = {}
    for cell in (cell for cell in study.cells if cell.moved):
        donors.setdefault((cell.method, cell.density), cell)
    begun: dict[tuple[str, str, float], list[int]] = {}
    for run in study.unfinished:
        begun.setdefault((run.cell.panel, run.cell.method, run.cell.density), []).append(run.seed)
    seeds = sorted({seed for cell in study.cells for seed in cell.seeds})
    seeds = [*seeds, *range(seeds[-1] + 1, seeds[-1] + FEW)]
    found = [run.config for run in study.unfinished]
    for panel, cells in study.panels.items():
        here = {(cell.method, cell.density): cell for cell in cells}
        for pair, donor in donors.items():
            have = [*(here[pair].seeds if pair in here else ()), *begun.get((panel, *pair), ())]
            lacking = [seed for seed in seeds if seed not in have][: max(0, FEW - len(have))]
            found += [_settings(here.get(pair, cells[0]), donor) | {"seed": seed} for seed in lacking]
    return found


def _settings(like: Cell, donor: Cell) -> dict[str, Any]:
    """Those of one cell, as sparse as another."""
    sparsity: Mapping[str, Any] = donor.records[0]["config"]
    return {**like.records[0]["config"], **{name: sparsity[name] for name in _SPARSITY if name in sparsity}}


_SPARSITY = ("allocation", "density", "topology")


def sweep_file(study: Study) -> bytes:
    """The same as a file for `rarefy sweep`."""
    import yaml

    about = "What a report found missing: runs that were begun, holes in its grid, groups of few seeds."
    return yaml.safe_dump({"about": about, "list": [dict(run) for run in runs_to_add(study)]}, sort_keys=False).encode()


def _unevaluated(study: Study) -> Iterator[Block]:
    for part in PARTS:
        lacking = [cell for cell in study.cells if not _has(cell, part)]
        if lacking:
            count = sum(len(cell.records) for cell in lacking)
            runs = f"{count} run{'s' * (count != 1)}"
            yield Note(f"{part.title} was not computed, or not alike, for {runs};", _command(study, part), "adds it.")


def _has(cell: Cell, part: Part) -> bool:
    """Whether all runs of a cell have numbers of a part: a metric that only some have is none of the cell's."""
    found = metrics_of(Study((cell,), ()), part)
    return any(name != "loss" for name in found)


def _command(study: Study, part: Part) -> str:
    """What was computed for some is what is asked for the others."""
    flag = part.flags.split()[0]
    known = list(metrics_of(study, part).values())
    if known and part in (OOD, ATTACKS):
        return f"rarefy eval {study.places} {flag} {','.join(title.rpartition(', ')[2] for title in known)}"
    return f"rarefy eval {study.places} {part.flags}"
