"""The auto engine with times that are given to it: what it chooses, remembers and says."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rarefy.engines import EngineError, KernelsMissing, _budget, _cache, _measure, check_step_time, use_engine
from rarefy.paths import get_cache_folder
from rarefy.sparsity import sparsify

ALL = ("conv1.weight", "conv2.weight", "shortcut.weight", "hidden.weight", "fc.weight")
CHANNELS_LAST = ("channels", "last")  # the key of the step of dense layers in that order of memory
CONTIGUOUS = ("contiguous",)
FAST = ("conv2.weight", "hidden.weight")  # win by themselves
CLOSE = (*FAST, "fc.weight")  # and what loses by less than half
IMAGES = torch.ones(4, 3, 6, 6)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Makes measuring give these milliseconds for steps: dense, and with these layers sparse. Returns the calls."""

    def given(steps: dict[tuple[str, ...], float]) -> list[Any]:
        calls: list[Any] = []
        slower = dict.fromkeys(ALL, 9.0) | dict.fromkeys(CLOSE, 1.4) | dict.fromkeys(FAST, 0.5)

        def layers(model: Any, sparsity: Any, names: list[str], sample: Any, *, budget: Any) -> Any:
            return {name: {"dense": 2.0, "sparse": 2 * slower[name]} for name in names}

        def whole(model: Any, sparsity: Any, plans: dict[str, tuple[str, ...]], sample: Any, *, budget: Any) -> Any:
            calls.append(plans)
            ordered = {name: tuple(layer for layer in ALL if layer in chosen) for name, chosen in plans.items()}
            found = {name: [steps.get(chosen, 9.0)] * 3 for name, chosen in ordered.items()}
            layouts = {"channels_last": CHANNELS_LAST, "contiguous": CONTIGUOUS}
            return found | {name: [steps[key]] * 3 for name, key in layouts.items() if key in steps}

        monkeypatch.setattr(_measure, "time_layers", layers)
        monkeypatch.setattr(_measure, "time_steps", whole)
        return calls

    return given


def in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in ALL if name in names)


@pytest.mark.parametrize(
    ("dense", "fast", "close", "everything", "chosen"),
    [
        (10.0, 6.0, 7.0, 8.0, FAST),
        (10.0, 7.0, 6.0, 8.0, CLOSE),
        (10.0, 9.0, 9.5, 4.0, ALL),
        (10.0, 10.5, 11.0, 12.0, ()),
        (10.0, 10.0, 10.0, 10.0, ()),
    ],
)
def test_the_fastest_whole_step_is_the_plan_and_never_one_slower_than_dense(
    make, times, dense, fast, close, everything, chosen
):
    times({(): dense, in_order(FAST): fast, in_order(CLOSE): close, ALL: everything})
    model, sparsity = make()
    plan = use_engine(model, sparsity, "auto", inputs=IMAGES)
    assert plan.sparse == in_order(chosen) == tuple(sparsity.masked_model.sparse_layers())
    assert bool(plan.reason) == (not chosen)
    assert plan.speedup is not None
    assert plan.speedup > 1 or not chosen
    assert plan.milliseconds["fc.weight"] == {"dense": 2.0, "sparse": 2.8}
    assert (plan.batch, plan.threads, plan.source) == ([4, 3, 6, 6], torch.get_num_threads(), "measured")


STEPS = {(): 10.0, in_order(FAST): 6.0, in_order(CLOSE): 7.0, ALL: 8.0}


def test_a_plan_is_measured_once_and_then_reused(make, times):
    calls = times(STEPS)
    first = use_engine(*make(), "auto", inputs=IMAGES)
    calls_before = len(calls)
    times({steps: 10 - value for steps, value in STEPS.items()})  # noise that would turn the choice around
    again = use_engine(*make(), "auto", inputs=IMAGES)
    assert calls_before == 1
    assert again.layers == first.layers
    assert again.milliseconds == first.milliseconds
    assert again.source == "cache"
    assert [file.name for file in (get_cache_folder() / "plans").iterdir()] == [again.kept_as]


@pytest.mark.parametrize(
    "other", ["machine", "threads", "batch", "order", "counts", "pattern", "model", "version", "hooks"]
)
def test_what_was_measured_elsewhere_is_not_reused(make, times, monkeypatch, other):
    calls = times(STEPS)
    use_engine(*make(), "auto", inputs=IMAGES)
    model, sparsity = make(**{"counts": {"density": 0.2}, "pattern": {"pattern": "out2"}}.get(other, {}))
    if other == "machine":
        monkeypatch.setattr(_cache, "describe_machine", lambda: "an abacus")
    if other == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 96)
    if other == "version":
        monkeypatch.setattr(_cache, "_find_version", lambda package: f"{package} of tomorrow")
    if other == "hooks":
        model.fc.register_forward_hook(lambda *_: None)
    if other == "model":
        model.hidden.bias = None
        model.bn1 = nn.BatchNorm2d(8, eps=1e-3)
    images = {"batch": IMAGES[:3], "order": IMAGES.contiguous(memory_format=torch.channels_last)}.get(other, IMAGES)
    use_engine(model, sparsity, "auto", inputs=images)
    assert len(calls) == 2


def test_a_plan_measured_amid_noise_is_measured_again_but_not_for_ever(make, times, monkeypatch):
    times(STEPS)
    rounds = {(): [10.0, 10.0, 10.0, 10.0], in_order(FAST): [3.0, 6.0, 7.0, 14.0]}
    calls: list[Any] = []

    def whole(model: Any, sparsity: Any, plans: dict[str, tuple[str, ...]], sample: Any, *, budget: Any) -> Any:
        calls.append(plans)
        return {name: rounds.get(chosen, [20.0]) for name, chosen in plans.items()}

    monkeypatch.setattr(_measure, "time_steps", whole)
    plans = [use_engine(*make(), "auto", inputs=IMAGES) for _ in range(5)]
    assert [plan.source for plan in plans] == ["measured"] * 3 + ["cache"] * 2
    assert len(calls) == 3
    assert plans[0].spread == pytest.approx((0.875 - 0.525) / 0.65, abs=1e-3), "quartiles of 0.3, 0.6, 0.7, 1.4"


def test_steps_that_turn_out_slower_than_promised_make_the_next_run_measure(make, times):
    calls = times(STEPS)
    plan = use_engine(*make(), "auto", inputs=IMAGES)
    assert check_step_time(plan, 8.5), "6 ms were promised; a training has work of its own beside them"
    assert use_engine(*make(), "auto", inputs=IMAGES).source == "cache"
    assert not check_step_time(plan, 13.0)
    assert use_engine(*make(), "auto", inputs=IMAGES).source == "measured"
    assert use_engine(*make(), "auto", inputs=IMAGES).source == "cache"
    assert len(calls) == 2


def test_a_doubt_reaches_no_plan_that_was_renewed_meanwhile(make, times):
    times(STEPS)
    old = use_engine(*make(), "auto", inputs=IMAGES)
    check_step_time(old, 13.0)
    times(STEPS | {in_order(FAST): 9.0})
    use_engine(*make(), "auto", inputs=IMAGES)
    check_step_time(old, 13.0)
    assert use_engine(*make(), "auto", inputs=IMAGES).source == "cache"


@pytest.mark.parametrize("name", ["../engine.json", "", "/etc/passwd"])
def test_a_doubt_is_written_into_the_cache_only(make, times, tmp_path, name):
    times(STEPS)
    plan = use_engine(*make(), "auto", inputs=IMAGES, plan_file=get_cache_folder() / "engine.json")
    before = (get_cache_folder() / "engine.json").read_bytes()
    assert not check_step_time(dataclasses.replace(plan, kept_as=name), 99.0)
    assert (get_cache_folder() / "engine.json").read_bytes() == before


@pytest.mark.parametrize(("other", "layout"), [(5.0, "channels_last"), (7.0, "")])
def test_the_other_order_of_memory_is_taken_where_it_may_be_and_is_the_fastest(make, times, tmp_path, other, layout):
    times(STEPS | {CHANNELS_LAST: other})
    model, sparsity = make()
    plan = use_engine(model, sparsity, "auto", inputs=IMAGES, plan_file=tmp_path / "engine.json", change_layout=True)
    assert plan.layout == layout
    assert plan.sparse == (() if layout else in_order(FAST))
    assert bool(plan.reason) == bool(layout)
    assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last) == bool(layout)
    again, masks = make()
    followed = use_engine(again, masks, "auto", inputs=IMAGES, plan_file=tmp_path / "engine.json", change_layout=True)
    assert followed.layers == plan.layers
    assert again.conv1.weight.stride() == model.conv1.weight.stride()


def test_in_ones_own_loop_the_other_order_is_only_offered(make, times, caplog):
    times(STEPS | {CHANNELS_LAST: 5.0})
    model, sparsity = make()
    with caplog.at_level(logging.INFO, "rarefy"):
        plan = use_engine(model, sparsity, "auto", inputs=IMAGES)
    assert plan.sparse == in_order(FAST)
    assert model.depthwise.weight.is_contiguous()
    assert plan.layout == "channels_last"
    assert plan.speedup == pytest.approx(5 / 6), "what is promised is against the faster dense layout"
    assert "instead of 5 ms (0.83x)" in caplog.text
    assert "change_layout=True" in caplog.text


def test_a_model_in_channels_last_is_compared_with_contiguous_weights_too(make):
    model, sparsity = make()
    model.to(memory_format=torch.channels_last)
    steps = _measure.time_steps(model, sparsity, {"dense": (), "all": ALL}, IMAGES)
    assert set(steps) == {"dense", "all", "contiguous"}
    inputs = torch.rand(4, 3, 6, 6).contiguous(memory_format=torch.channels_last)
    assert set(_measure.time_steps(model, sparsity, {"dense": ()}, inputs)) == {"dense"}, "the inputs decide"


def test_contiguous_weights_are_taken_where_they_are_the_fastest(make, times, tmp_path):
    times(STEPS | {CONTIGUOUS: 5.0})
    model, sparsity = make()
    model.to(memory_format=torch.channels_last)
    options = {"inputs": IMAGES, "plan_file": tmp_path / "engine.json", "change_layout": True}
    assert use_engine(model, sparsity, "auto", **options).layout == "contiguous"
    assert model.conv1.weight.is_contiguous()
    assert use_engine(*make(), "auto", **options).layout == "contiguous"


def test_a_plan_is_kept_for_the_layout_of_the_weights_too(make, times):
    calls = times(STEPS)
    use_engine(*make(), "auto", inputs=IMAGES)
    model, sparsity = make()
    model.to(memory_format=torch.channels_last)
    use_engine(model, sparsity, "auto", inputs=IMAGES)
    assert len(calls) == 2


def test_one_disturbed_round_decides_nothing(make, times, monkeypatch):
    disturbed = {"dense": [10.0, 4.0, 11.0], "close": [5.0, 30.0, 31.0], "all": [6.0, 6.0, 6.0]}
    times(STEPS)
    monkeypatch.setattr(_measure, "time_steps", lambda model, sparsity, plans, sample, budget: disturbed)
    monkeypatch.setattr("rarefy.engines._selection._CLOSE", 1.0)
    plan = use_engine(*make(), "auto", inputs=IMAGES)
    assert plan.sparse == ()
    assert plan.step_milliseconds == {"dense": 4.0, "sparse": 5.0}


@pytest.mark.parametrize("content", ["", "{}", '{"plan": {"engine": "auto"}}', '{"plan": 3}', "not json"])
def test_a_damaged_file_is_named_and_measured_again(make, times, caplog, content):
    calls = times(STEPS)
    first = use_engine(*make(), "auto", inputs=IMAGES)
    (file,) = (get_cache_folder() / "plans").iterdir()
    whole = file.read_text()
    file.write_text(content)
    with caplog.at_level(logging.WARNING, "rarefy"):
        again = use_engine(*make(), "auto", inputs=IMAGES)
    assert str(file) in caplog.text
    assert "Measuring again" in caplog.text
    assert len(calls) == 2
    assert dataclasses.replace(again, compile_seconds=0) == dataclasses.replace(first, compile_seconds=0)
    assert file.read_text() == whole


def test_a_file_of_another_key_is_not_believed(make, times):
    """Somebody's copy of a cache: the name says this machine, the content another one."""
    calls = times(STEPS)
    use_engine(*make(), "auto", inputs=IMAGES)
    (file,) = (get_cache_folder() / "plans").iterdir()
    content = json.loads(file.read_text())
    content["key"]["machine"] = "an abacus"
    file.write_text(json.dumps(content))
    use_engine(*make(), "auto", inputs=IMAGES)
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(make, times, tmp_path, monkeypatch, caplog):
    times(STEPS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "rarefy"):
        assert use_engine(*make(), "auto", inputs=IMAGES).sparse
    assert "could not be kept" in caplog.text


def test_the_run_s_own_plan_comes_before_the_cache(make, times, tmp_path):
    times(STEPS)
    first = use_engine(*make(), "auto", inputs=IMAGES, plan_file=tmp_path / "engine.json")
    for file in (get_cache_folder() / "plans").iterdir():
        file.unlink()
    calls = times({steps: 10 - value for steps, value in STEPS.items()})
    again = use_engine(*make(), "auto", inputs=IMAGES, plan_file=tmp_path / "engine.json")
    assert (again.layers, calls) == (first.layers, [])


def test_without_numba_it_is_masked_and_says_so(make, no_numba, caplog):
    model, sparsity = make()
    with caplog.at_level(logging.INFO, "rarefy"):
        plan = use_engine(model, sparsity, "auto", inputs=IMAGES)
    assert plan.sparse == ()
    assert "pip install numba" in plan.reason
    assert plan.reason in caplog.text
    assert not (get_cache_folder() / "plans").exists(), "what is missing today may be there tomorrow"


def test_a_plan_with_sparse_layers_needs_numba(make, times, tmp_path, request):
    times(STEPS)
    use_engine(*make(), "auto", inputs=IMAGES, plan_file=tmp_path / "engine.json")
    request.getfixturevalue("no_numba")
    with pytest.raises(KernelsMissing, match="numba"):
        use_engine(*make(), "auto", inputs=IMAGES, plan_file=tmp_path / "engine.json")


def test_where_nothing_can_be_sparse_it_is_masked_and_says_why(make):
    assert "trains pruned weights too" in use_engine(*make(topology="top_kast"), "auto", inputs=IMAGES).reason
    model = nn.Sequential(nn.Linear(3, 2))
    plan = use_engine(model, sparsify(model, density=1.0), "auto", inputs=torch.ones(2, 3))
    assert "no layer has a sparse form or prunes anything" in plan.reason
    assert plan.reasons == {"0.weight": "keeps every weight"}


def test_it_needs_a_batch(make):
    with pytest.raises(EngineError, match="inputs=inputs"):
        use_engine(*make(), "auto")


def test_what_is_logged_is_the_plan_in_a_line(make, times, caplog):
    times(STEPS)
    with caplog.at_level(logging.INFO, "rarefy"):
        use_engine(*make(), "auto", inputs=IMAGES)
    assert "engine auto: 2 of 6 layers sparse, a step takes 6 ms instead of 10 ms (1.67x)" in caplog.text


def test_measured_for_real_it_times_what_the_sample_reaches_and_leaves_the_model_alone(make):
    model, sparsity = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    times = _measure.time_layers(model, sparsity, ALL, IMAGES)
    assert tuple(times) == ALL
    assert all(of_layer["dense"] > 0 < of_layer["sparse"] for of_layer in times.values())
    steps = _measure.time_steps(model, sparsity, {"dense": (), "all": ALL}, IMAGES)
    assert set(steps) == {"dense", "all", "channels_last"}
    assert min(time for times in steps.values() for time in times) > 0
    assert sparsity.masked_model.sparse_layers() == {}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_turns_are_fair_and_what_is_hopeless_gets_no_more(monkeypatch):
    calls: list[str] = []
    costs = {"a": 10.0, "b": 5.0, "c": 90.0}

    def timed(act: Callable[[], object]) -> float:
        act()
        return costs[calls[-1]]

    monkeypatch.setattr(_measure, "_time_call", timed)
    acts = {name: lambda name=name: calls.append(name) for name in costs}
    assert _measure.time_interleaved(acts, rounds=3, seconds=60, hopeless=1.3) == costs
    assert "".join(calls) == "abc" + "cba" + "abc" + "ba", "warm-up, then turns; the first is always compared with"


@pytest.mark.parametrize(("each", "rounds"), [(0.001, 5), (0.3, 3), (9.0, 1)])
def test_measuring_takes_bounded_time(monkeypatch, each, rounds):
    clock = [0.0]

    def wait() -> None:
        clock[0] += each

    monkeypatch.setattr(_measure.time, "perf_counter", lambda: clock[0])
    functions = {"a": wait, "b": wait}
    times = _measure.time_rounds(functions, rounds=5, seconds=0.5, hopeless=2.0, longest=10.0)
    assert [len(of_one) for of_one in times.values()] == [rounds, rounds]


def test_one_disturbed_round_makes_nothing_hopeless(monkeypatch):
    left = {"a": [1.0, 10.0, 10.0, 10.0, 10.0], "b": [1.0, 90.0, 5.0, 5.0, 5.0]}
    monkeypatch.setattr(_measure, "_time_call", lambda function: function())
    functions = {name: lambda name=name: left[name].pop(0) for name in left}
    times = _measure.time_rounds(functions, rounds=4, seconds=60, hopeless=1.3)
    assert times == {"a": [10.0] * 4, "b": [90.0, 5.0, 5.0, 5.0]}


@pytest.mark.parametrize(
    ("dense", "epoch_steps", "limit", "expected"),
    [
        (2.5, None, 20.0, {"dense", "close", "channels_last"}),  # resnet50: too slow for every candidate
        (2.5, 10**6, 20.0, {"dense", "close", "channels_last"}),  # 3% of a long epoch would be hours
        (0.1, 3000, 9.0, {"dense", "winners", "channels_last", "close", "all"}),
        (0.1, 100, 5.0, {"dense", "winners", "channels_last", "close", "all"}),
        (9.0, 2, 5.0, {"dense", "close"}),
    ],
)
def test_measuring_ends_with_its_budget(make, monkeypatch, dense, epoch_steps, limit, expected):
    clock, measured = [0.0], list[set[str]]()

    def wait(seconds: float) -> None:
        clock[0] += seconds

    ratios, time_rounds = itertools.cycle([0.5, 1.4, 9.0]), _measure.time_rounds

    def time_layer(*_: Any) -> dict[str, float]:
        wait(0.5)
        return {"dense": 1.0, "sparse": next(ratios)}

    def keep_names(*arguments: Any, **options: Any) -> Any:
        rounds = time_rounds(*arguments, **options)
        measured.append(set(rounds))
        return rounds

    monkeypatch.setattr(_budget, "_read_clock", lambda: clock[0])
    monkeypatch.setattr(_measure.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(_measure, "_time_layer", time_layer)
    monkeypatch.setattr(_measure, "make_training_step", lambda *_, **options: lambda: wait(dense))
    monkeypatch.setattr(_measure, "time_rounds", keep_names)
    plan = use_engine(*make(), "auto", inputs=IMAGES, epoch_steps=epoch_steps)
    assert measured == [expected]
    assert plan.step_milliseconds["dense"] == pytest.approx(1e3 * dense)
    assert clock[0] <= max(limit, 4 * dense + 0.5 * len(ALL))  # two candidates are compared in any case
