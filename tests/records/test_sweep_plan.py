"""Plans of sweeps: written beside their runs, dated once, damaged ones left out."""

from __future__ import annotations

import datetime

from rarefy.records import SweepPlan, read_sweep_plans, write_sweep_plan


def test_a_plan_is_read_back_and_keeps_its_first_date(tmp_path):
    about = {"title": "Depth", "read": datetime.date(2026, 11, 29)}
    path = write_sweep_plan(SweepPlan(name="a/b scale", title="Depth", about=about, runs={"3f2a": "erk"}), tmp_path)
    assert path == tmp_path / "sweeps" / "a_b_scale.json"
    (first,) = read_sweep_plans(tmp_path)
    assert datetime.datetime.fromisoformat(first.started).tzinfo is not None
    path.write_text(path.read_text().replace(first.started, "2001-01-01T00:00:00+00:00"))
    write_sweep_plan(SweepPlan(name="a/b scale", runs={"3f2a": "", "4b": ""}), tmp_path)
    (again,) = read_sweep_plans(tmp_path)
    assert (again.started, list(again.runs), again.title) == ("2001-01-01T00:00:00+00:00", ["3f2a", "4b"], "")


def test_damaged_plans_are_left_out_and_the_others_are_in_order_of_their_start(tmp_path):
    for name, started in (("late", "2026-02-01T00:00:00+00:00"), ("early", "2026-01-01T00:00:00+00:00")):
        path = write_sweep_plan(SweepPlan(name=name, runs={}), tmp_path)
        plan = SweepPlan.model_validate_json(path.read_text()).model_copy(update={"started": started})
        path.write_text(plan.model_dump_json())
    (tmp_path / "sweeps" / "broken.json").write_text("{")
    assert [plan.name for plan in read_sweep_plans(tmp_path)] == ["early", "late"]
    assert read_sweep_plans(tmp_path / "none") == []
