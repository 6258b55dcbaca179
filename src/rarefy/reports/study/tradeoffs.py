"""Accuracy against cost: what each point of accuracy takes in weights, FLOPs, bytes and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rarefy.reports.figures import DENSE, Figure, Series, fit_axis, share_heights
from rarefy.reports.pages import Block, Figures, Fold, Section, format_percent, format_share, make_file_name
from rarefy.reports.study._costs import Cost, list_costs, read_costs
from rarefy.reports.study._study import RunGroup, Study, find_dense, group_by_method

_MOST_TICKS = 4
_MOST_OPEN = 3  # networks that are not folded away
_CAPTION = (
    "Up and to the left is better. Dotted: the front, which no other run beats in both. Costs: medians over seeds."
)


def build_section(study: Study) -> Section:
    """Builds the section: one row of panels per network, accuracy against each cost that its runs have."""
    about = (
        "Test accuracy against what a network costs; each point is a density. FLOPs count kept weights, 2 per "
        "multiply-add, whether or not an engine skips the others. Times are those of the engine that was used, on the "
        "machine that measured them; they are shown if all runs of a network are of one machine. Prediction is timed "
        "and FLOPs are counted by rarefy eval --cost."
    )
    blocks: list[Block] = []
    for network, groups in study.networks.items():
        figures, panels = _draw_network(study, network, groups), make_file_name("panels-cost", network)
        if figures and len(blocks) < _MOST_OPEN:
            blocks.append(Figures(network, figures, panels))
        elif figures:
            blocks.append(Fold(network, [Figures("", figures)]))
    return Section("cost", "Accuracy against cost", about, blocks)


def _draw_network(study: Study, network: str, groups: Sequence[RunGroup]) -> list[Figure]:
    known = [group for group in groups if "accuracy" in group.numbers]
    if not any(not group.dense for group in known):
        return []
    return share_heights([_draw_cost(study, network, known, cost) for cost in list_costs(known) if cost.is_drawn])


def _draw_cost(study: Study, network: str, groups: Sequence[RunGroup], cost: Cost) -> Figure:
    costs = read_costs(groups, cost)
    having = [group for group in groups if group.name in costs]
    dense = find_dense(having)
    series = [_build_series(study, [dense], costs, cost)] if dense else []
    series += [_build_series(study, several, costs, cost) for several in group_by_method(having).values()]
    y = fit_axis(
        "Accuracy, %", "accuracy", [end for one in series for end in (*one.y, *one.low, *one.high)], scale=100.0
    )
    x = fit_axis(cost.label, cost.name, costs.values(), log=True, most=_MOST_TICKS)
    texts = tuple(cost.format(tick) for tick in x.ticks)
    x = dataclasses.replace(x, texts=texts)
    title = f"{cost.title}: {network}"
    front = _build_front(having, costs)
    return Figure(make_file_name("cost", cost.name, network), title, x, y, (*front, *series), _CAPTION)


def _build_series(study: Study, groups: Sequence[RunGroup], costs: Mapping[str, float], cost: Cost) -> Series:
    first = groups[0]
    means = tuple(group.numbers["accuracy"].mean for group in groups)
    names = [first.method if group.dense else f"{group.method}, {format_share(group.density)}" for group in groups]
    tips = tuple(
        f"{name}: {format_percent(mean)}, {cost.format(costs[group.name])}"
        for name, mean, group in zip(names, means, groups, strict=True)
    )
    style = DENSE if first.dense else study.styles[first.method]
    kind = "dots" if first.dense else "line"
    return Series(first.method, style, tuple(costs[group.name] for group in groups), means, tips=tips, kind=kind)  # type: ignore[arg-type]


def _build_front(groups: Sequence[RunGroup], costs: Mapping[str, float]) -> list[Series]:
    """Builds the line through the groups that are more accurate than every cheaper one."""
    front: list[tuple[float, float]] = []
    for cost, accuracy in sorted((costs[g.name], -g.numbers["accuracy"].mean) for g in groups):
        if not front or -accuracy > front[-1][1]:
            front.append((cost, -accuracy))
    if len(front) < 2:
        return []
    x, y = zip(*front, strict=True)
    return [Series("", 0, x, y, kind="guide")]
