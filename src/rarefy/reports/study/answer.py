"""The answer: how sparse a network can be without losing accuracy, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rarefy.reports.pages import (
    Block,
    Column,
    Label,
    Lead,
    Section,
    Table,
    format_percent,
    format_plural,
    format_points,
    format_share,
    join_names,
)
from rarefy.reports.study._costs import describe_gains, takes_as_long
from rarefy.reports.study._study import MetricVerdicts, RunGroup, Study, find_dense, group_by_method

Row = Mapping[str, Any]
_MOST_LEADS = 3


def build_section(study: Study) -> Section:
    """Builds the section: a sentence per network, and with several networks a table of the sparsest densities."""
    leads = [_answer(study, network, groups) for network, groups in study.networks.items()]
    table = [_build_table(study)] if len(leads) > 1 and study.accuracy_verdicts else []
    table = [one for one in table if any(density for row in one.rows for density in row[2:])]
    blocks: list[Block] = [*([_count_networks(study)] if len(leads) > _MOST_LEADS else leads), *table]
    return Section("answer", "Answer", "", blocks)


def find_matching(verdicts: MetricVerdicts, groups: Sequence[RunGroup]) -> dict[str, RunGroup]:
    """Finds for each method the sparsest group that is not worse than its baseline by more than the margin.

    Methods are in the order of those groups, the sparsest first. A group counts if it is equal within the margin, or
    if the 95% interval of its difference lies above the margin's lower end.
    """
    found: dict[str, RunGroup] = {}
    for method, members in group_by_method(groups).items():
        for group in members:  # the densest first
            row = verdicts.find_row(group.name)
            if row and row["baseline"] != group.name and _is_not_worse(row, verdicts.margin):
                found[method] = group
    return dict(sorted(found.items(), key=lambda item: item[1].density))


def _is_not_worse(row: Row, margin: float | None) -> bool:
    if margin is None:
        return False
    return row["verdict"] == "yes" or bool(row["welch"] and row["welch"][0] > -margin)


def _answer(study: Study, network: str, groups: Sequence[RunGroup]) -> Lead:
    prefix = f"{network}: " if len(study.networks) > 1 else ""
    verdicts = study.accuracy_verdicts
    tested = [group for group in groups if verdicts and verdicts.find_row(group.name)]
    if verdicts is None or verdicts.margin is None or not any(not group.dense for group in tested):
        return Lead(prefix + _describe_untested(groups))
    matching = find_matching(verdicts, tested)
    if not matching:
        return Lead(prefix + _describe_nearest(study, verdicts, tested))
    best = next(iter(matching.values()))
    base = _find_base(study, verdicts, best)
    gains = list(describe_gains(groups, best, base)) if base else []
    savings = f"At {format_share(best.density)}, {best.method} has {join_names(gains)}" if gains else ""
    if base and savings and takes_as_long(groups, best, base):
        savings += ", and takes as long: the engine that was used computes every weight or gains nothing here"
    savings += "." if savings else ""
    return Lead(prefix + _describe_matching(study, verdicts, matching, tested), savings)


def _find_base(study: Study, verdicts: MetricVerdicts, group: RunGroup) -> RunGroup | None:
    row = verdicts.find_row(group.name)
    return next((other for other in study.groups if row and other.name == row["baseline"]), None)


def _name_base(study: Study, verdicts: MetricVerdicts, group: RunGroup) -> str:
    base = _find_base(study, verdicts, group)
    return "dense" if base is None or base.dense else _name_group(base)


def _name_group(group: RunGroup) -> str:
    return f"{group.method} at {format_share(group.density)}"


def _describe_matching(
    study: Study, verdicts: MetricVerdicts, matching: Mapping[str, RunGroup], tested: Sequence[RunGroup]
) -> str:
    """Says which methods match at the lowest density, and what others need: ``ERK at 20% matches dense ...``."""
    assert verdicts.margin is not None
    first = next(iter(matching.values()))
    leaders = [method for method, group in matching.items() if group.density == first.density]
    needs = [f"{method} needs {format_share(g.density)}" for method, g in matching.items() if method not in leaders]
    lacking = [method for method in group_by_method(tested) if method not in matching]
    needs += [f"no density of {join_names(lacking)} does"] if lacking else []
    verb = "matches" if len(leaders) == 1 else "match"
    text = f"{join_names(leaders)} at {format_share(first.density)} {verb} {_name_base(study, verdicts, first)} "
    text += f"within {format_points(verdicts.margin)} ({_count_seeds(first)})"
    return f"{text}{'; ' if needs else ''}{', '.join(needs)}."


def _count_seeds(group: RunGroup) -> str:
    return format_plural(len(group.records) or 1, "seed")


def _describe_nearest(study: Study, verdicts: MetricVerdicts, tested: Sequence[RunGroup]) -> str:
    """Says that no density matches or that nothing can be told, and how near the nearest one comes."""
    assert verdicts.margin is not None
    rows = {
        group.name: row for group in tested if (row := verdicts.find_row(group.name)) and row["difference"] is not None
    }
    nearest = max((group for group in tested if group.name in rows), key=lambda group: rows[group.name]["difference"])
    row, within = rows[nearest.name], format_points(verdicts.margin)
    base = _name_base(study, verdicts, nearest)
    is_open = any(row["verdict"] == "cannot tell" for row in rows.values())
    if is_open:
        text = f"These runs cannot tell whether a sparse network matches {base} within {within}."
    else:
        text = f"No sparse network here matches {base} within {within}."
    text += f" The nearest, {_name_group(nearest)}, is {_describe_difference(row['difference'])}"
    if row["welch"] is None:
        return f"{text}; with one seed each there is no telling what is chance."
    low, high = (f"{100 * end:+.2f}" for end in row["welch"])
    text += f" (95% interval {low} to {high}, {_count_seeds(nearest)})"
    needed = row["seeds_needed"]
    return text + (f"; about {needed:,} seeds would tell." if is_open and needed else ".")


def _describe_difference(difference: float) -> str:
    points = f"{100 * abs(difference):.2f} points"
    return f"{points} above" if difference > 0 else f"{points} below" if points != "0.00 points" else "level with it"


def _describe_untested(groups: Sequence[RunGroup]) -> str:
    """Says what there is where nothing can be compared."""
    known = [group for group in groups if "accuracy" in group.numbers]
    dense = find_dense(known)
    sparse = [group for group in known if not group.dense]
    if not known:
        return "No run here has a test accuracy."
    if not sparse and dense:
        mean = format_percent(dense.numbers["accuracy"].mean)
        return f"Dense networks reach {mean} ({_count_seeds(dense)}); there are no sparse ones to compare."
    best = max(sparse, key=lambda group: group.numbers["accuracy"].mean)
    found = f"{_name_group(best)} reaches {format_percent(best.numbers['accuracy'].mean)} ({_count_seeds(best)})"
    return f"{found}; there is no dense network of the same training to compare it with."


def _count_networks(study: Study) -> Lead:
    verdicts, names = study.accuracy_verdicts, list(study.networks)
    if verdicts is None or verdicts.margin is None:
        return Lead(f"There is nothing to compare {format_plural(len(names), 'network')} with.")
    found = {name: find_matching(verdicts, groups) for name, groups in study.networks.items()}
    matched = [(next(iter(f.values())), name) for name, f in found.items() if f]
    text = (
        f"On {len(matched)} of {len(names)} networks a sparse one matches dense within {format_points(verdicts.margin)}"
    )
    if not matched:
        return Lead(f"{text}.")
    sparsest, network = min(matched, key=lambda item: item[0].density)
    return Lead(f"{text}; the sparsest is {_name_group(sparsest)} on {network} ({_count_seeds(sparsest)}).")


def _build_table(study: Study) -> Table:
    """Builds the table of the sparsest density of each network and method that matches dense."""
    verdicts = study.accuracy_verdicts
    assert verdicts is not None
    rows = []
    methods = [method for method in study.methods if any(g.method == method for g in study.groups)]
    for network, groups in study.networks.items():
        found, dense = find_matching(verdicts, groups), find_dense(groups)
        mean = dense.numbers["accuracy"].mean if dense and "accuracy" in dense.numbers else None
        run = {group.method for group in groups}
        cells = [found[m].density if m in found else 0.0 if m in run else None for m in methods]
        rows.append((network, mean, *cells))
    columns = [
        Column("network", is_text=True),
        Column(Label("dense accuracy", study.styles["dense"]), format_percent, ("dense_accuracy",)),
        *(Column(Label(method, study.styles[method]), _format_found, (method,)) for method in methods),
    ]
    within = f" within {format_points(verdicts.margin)}" if verdicts.margin else ""
    return Table("table-answer", f"The sparsest density that matches dense{within}", columns, rows)


def _format_found(density: float) -> str:
    return format_share(density) if density else "none"
