"""Progress on and off a terminal, and the question whether to stop."""

from __future__ import annotations

import io
import os
import signal
import types

import pytest
from rich.console import Console

from rarefy.cli import _progress
from rarefy.cli._progress import TrainingProgress, stoppable
from rarefy.training import Event


def make_state(epoch: int = 0, batch: int = 0) -> types.SimpleNamespace:
    values = types.SimpleNamespace(epochs=3)
    totals = types.SimpleNamespace(mean_loss=1.5, accuracy=0.25, seen=64, seconds=2.0)
    return types.SimpleNamespace(
        epoch=epoch, batch=batch, step=epoch * 4 + batch, steps_per_epoch=4, totals=totals, history=[],
        settings=types.SimpleNamespace(values=values),
    )  # fmt: skip


def row(epoch: int, **more: float) -> dict:
    return {"epoch": epoch, "train_loss": 1.25, "train_accuracy": 0.5, "lr": 0.1, "seconds": 40.0} | more


@pytest.fixture
def clock(monkeypatch):
    time = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(_progress, "time", types.SimpleNamespace(monotonic=lambda: time.now))
    return time


def screen(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False, legacy_windows=False)


def test_a_line_an_epoch_with_the_time_left(clock):
    console, state = screen(terminal=False), make_state()
    show = TrainingProgress(console)
    show(Event.START, state)
    for epoch in (1, 2):
        state.epoch = epoch
        state.history.append(row(epoch, validation_accuracy=0.625) if epoch == 2 else row(epoch))
        show(Event.EPOCH, state)
    show(Event.END, state)
    assert console.file.getvalue().splitlines() == [
        "epoch 1/3  loss 1.2500  accuracy 50.00%  lr 0.1  40.0 s  left 1:20",
        "epoch 2/3  loss 1.2500  accuracy 50.00%  validation 62.50%  lr 0.1  40.0 s  left 0:40",
    ]


@pytest.mark.parametrize("width", [40, 80])
def test_an_epoch_s_line_fits_the_terminal(clock, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    state = make_state(epoch=100)
    state.settings.values.epochs = 160
    state.history.append(row(100, validation_accuracy=0.625, seconds=1234.5, lr=0.000123))
    show = TrainingProgress(console)
    show(Event.START, state)
    show(Event.EPOCH, state)
    line = console.file.getvalue().splitlines()[-1]
    assert len(line) <= width
    assert "validation 62.50%" in line
    assert ("left 20:34:30" in line) == (width == 80)


def test_a_long_epoch_speaks_up_every_half_minute(clock):
    console, state = screen(terminal=False), make_state()
    show = TrainingProgress(console)
    show(Event.START, state)
    for clock.now, state.batch in ((10, 1), (31, 2), (40, 3), (62, 4)):
        show(Event.STEP, state)
    lines = console.file.getvalue().splitlines()
    assert lines == [f"epoch 1/3  step {step}/4  loss 1.500  accuracy 25.00%  32 images/s" for step in (2, 4)]


def test_a_resumed_run_says_where_it_goes_on(clock):
    console = screen(terminal=False)
    TrainingProgress(console)(Event.START, make_state(epoch=1, batch=2))
    assert console.file.getvalue() == "continuing after epoch 1, batch 2 of 4\n"


def test_a_terminal_gets_a_live_bar(clock):
    console, state = screen(terminal=True), make_state()
    show = TrainingProgress(console)
    show(Event.START, state)
    clock.now, state.batch, state.step = 1.0, 2, 2
    show(Event.STEP, state)
    show._bar.refresh()
    show(Event.END, state)
    text = console.file.getvalue()
    for part in ("epoch 1/3", "17%", "loss 1.500", "accuracy 25.00%", "32 images/s"):
        assert part in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01"), (360000, "100:00:00")]
)
def test_clock(seconds, text):
    assert _progress.clock(seconds) == text


def test_one_of_many_that_was_asked_to_stop_is_not_terminated_on_its_way_out(monkeypatch):
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    monkeypatch.setenv("WORLD_SIZE", "2")
    try:
        with stoppable() as should_stop:
            os.kill(os.getpid(), signal.SIGUSR1)
        assert should_stop()
        os.kill(os.getpid(), signal.SIGTERM)  # the launcher's, as another rank has ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_asks_to_stop_and_handlers_are_put_back(number):
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    with stoppable() as should_stop:
        assert should_stop() is False
        os.kill(os.getpid(), number)
        assert should_stop() is True
    assert {name: signal.getsignal(name) for name in before} == before


def test_under_torchrun_one_ctrl_c_arrives_twice(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with stoppable() as should_stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert should_stop() is True


def test_a_second_ctrl_c_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
