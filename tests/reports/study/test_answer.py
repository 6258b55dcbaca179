"""The sentence that a report opens with, against means and intervals written by hand."""

from __future__ import annotations

import dataclasses

import pytest

from rarefy.reports import MetricVerdicts, RunGroup, SeedSummary, Study
from rarefy.reports.pages import Lead, Table
from rarefy.reports.study.answer import build_section, find_matching

SEEDS = (17, 18, 19)
DENSE = "dense"


def record(kept: int, flops: int, size: int, speed: float, machine: str = "x86_64") -> dict:
    """A record with costs: a dense network has 1000 weights, 4000 FLOPs, 8000 bytes and 100 images a second."""
    return {
        "id": f"{kept}{machine}",
        "config": {"seed": 17, "training": {"batch_size": 50}},
        "params": {"kept": kept, "total": 1000},
        "files": {"model.safetensors": size},
        "timing": {"images_per_second": speed},
        "environment": {"device_name": machine, "threads": 1},
        "metrics": {"test": {"cost": {"flops": {"kept": flops, "dense": 4000}}}},
    }


def group(method: str, density: float, mean: float, *, network: str = "Net on data", **costs) -> RunGroup:
    records = tuple(
        record(**{"kept": round(1000 * density), "flops": 4000, "size": 8000, "speed": 100.0} | costs) for _ in SEEDS
    )
    return RunGroup(
        name=f"{method} {density} {network}", network=network, method=method, data="data", model="net",
        allocation=method.lower(), density=density, dense=method == DENSE, records=records,
        numbers={"accuracy": SeedSummary((mean,) * 3, mean, 0.0, (mean, mean))},
    )  # fmt: skip


def judge(groups: list[RunGroup], margin: float = 0.005, half: float = 0.001) -> MetricVerdicts:
    """Verdicts as two one-sided tests give them where every interval is the difference plus and minus `half`."""
    rows = []
    for one in groups:
        base = next(other for other in groups if other.dense and other.network == one.network)
        row = {"group": one.name, "baseline": base.name, "seeds": SEEDS, "mean": one.numbers["accuracy"].mean}
        row |= dict.fromkeys(("interval", "difference", "welch", "verdict", "seeds_needed", "reason"))
        if not one.dense:
            difference = one.numbers["accuracy"].mean - base.numbers["accuracy"].mean
            ends = (difference - half, difference + half)
            inside = -margin < ends[0] and ends[1] < margin
            outside = ends[1] < -margin or ends[0] > margin
            verdict = "yes" if inside else "no" if outside else "cannot tell"
            row |= {"difference": difference, "welch": ends, "verdict": verdict, "seeds_needed": 9}
        rows.append(row)
    return MetricVerdicts("accuracy", points=True, margin=margin, rows=tuple(rows))


def tell(groups: list[RunGroup], **options) -> str:
    (lead,) = build_section(Study(tuple(groups), (judge(groups, **options),))).blocks
    assert isinstance(lead, Lead)
    return f"{lead.text} {lead.rest}".strip()


def test_the_sparsest_that_matches_comes_first_then_what_others_need_and_what_is_saved():
    groups = [
        group(DENSE, 1.0, 0.92),
        *(group("ERK", 0.5, 0.92), group("ERK", 0.2, 0.918, flops=800, size=2000, speed=310.0)),
        *(group("ERK", 0.1, 0.90), group("uniform", 0.5, 0.919), group("uniform", 0.2, 0.90)),
        group("SNIP", 0.5, 0.80),
    ]
    assert tell(groups) == (
        "ERK at 20% matches dense within 0.5 points (3 seeds); uniform needs 50%, no density of SNIP does. At 20%, ERK "
        "has 5.0 times fewer weights, 5.0 times fewer FLOPs, a 4.0 times smaller file and 3.1 times faster steps."
    )


def test_better_than_dense_counts_and_slower_is_said():
    groups = [group(DENSE, 1.0, 0.92), group("ERK", 0.5, 0.95, speed=50.0, size=16000)]
    assert tell(groups, margin=0.01) == (
        "ERK at 50% matches dense within 1 point (3 seeds). At 50%, ERK has 2.0 times fewer weights, as many FLOPs, "
        "a 2.0 times larger file and steps 2.0 times slower."
    )


def test_equal_times_are_no_gain():
    assert "takes as long" in tell([group(DENSE, 1.0, 0.92), group("ERK", 0.5, 0.92)])


def test_times_of_two_machines_are_not_compared():
    groups = [group(DENSE, 1.0, 0.92), group("ERK", 0.5, 0.92, speed=400.0, machine="other")]
    assert "steps" not in tell(groups)
    assert "2.0 times fewer weights" in tell(groups)


@pytest.mark.parametrize(
    ("half", "told"),
    [
        (0.001, "No sparse network here matches dense within 0.5 points. The nearest, ERK at 50%, is 2.00 points below "
                "(95% interval -2.10 to -1.90, 3 seeds)."),
        (0.030, "These runs cannot tell whether a sparse network matches dense within 0.5 points. The nearest, ERK at "
                "50%, is 2.00 points below (95% interval -5.00 to +1.00, 3 seeds); about 9 seeds would tell."),
    ],
)  # fmt: skip
def test_no_match_and_not_knowing_are_told_apart(half, told):
    assert tell([group(DENSE, 1.0, 0.92), group("ERK", 0.5, 0.90), group("ERK", 0.2, 0.85)], half=half) == told


def test_without_a_dense_network_there_is_only_the_best_number():
    groups = (group("ERK", 0.1, 0.874), group("uniform", 0.1, 0.85))
    (lead,) = build_section(Study(groups, ())).blocks
    assert lead.text == (
        "ERK at 10% reaches 87.40% (3 seeds); there is no dense network of the same training to compare it with."
    )
    (lead,) = build_section(Study((group(DENSE, 1.0, 0.92),), ())).blocks
    assert lead.text == "Dense networks reach 92.00% (3 seeds); there are no sparse ones to compare."


def test_several_networks_have_a_table_and_many_only_a_count():
    groups = [
        one
        for number in range(4)
        for one in (
            group(DENSE, 1.0, 0.92, network=f"Net-{number}"),
            group("ERK", 0.1, 0.92 if number > 1 else 0.85, network=f"Net-{number}"),
        )
    ]
    two = build_section(Study(tuple(groups[:6]), (judge(groups[:6]),))).blocks
    assert [block.text.partition(":")[0] for block in two if isinstance(block, Lead)] == ["Net-0", "Net-1", "Net-2"]
    lead, table = build_section(Study(tuple(groups), (judge(groups),))).blocks
    assert lead.text == (
        "On 2 of 4 networks a sparse one matches dense within 0.5 points; the sparsest is ERK at 10% on Net-2 "
        "(3 seeds)."
    )
    assert isinstance(table, Table)
    assert table.texts == [
        *(["Net-0", "92.00%", "none"], ["Net-1", "92.00%", "none"]),
        *(["Net-2", "92.00%", "10%"], ["Net-3", "92.00%", "10%"]),
    ]


def test_a_baseline_of_one_s_own_is_named_and_is_no_match_of_itself():
    groups = [group(DENSE, 1.0, 0.92), group("ERK", 0.5, 0.92), group("ERK", 0.1, 0.92)]
    judged = judge(groups)
    rows = tuple(row | {"baseline": groups[1].name} for row in judged.rows)
    mine = dataclasses.replace(judged, rows=rows)
    assert list(find_matching(mine, groups)) == ["ERK"]
    (lead,) = build_section(Study(tuple(groups), (mine,))).blocks
    assert lead.text == "ERK at 10% matches ERK at 50% within 0.5 points (3 seeds)."
