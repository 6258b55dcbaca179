"""Checkpoints: when they are written, what is in them, what is refused."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from rarefy.training import Checkpoint, CheckpointError, Event, load_checkpoint
from rarefy.training.callbacks import checkpoint

RUN = "3f2a9c1b77de"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last.ckpt"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """A clock that stands still until it is told to go on."""

    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    monkeypatch.setattr(checkpoint, "time", Clock())
    return checkpoint.time


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_what_is_read_is_what_was_saved(path, state, step, close_epoch):
    step(state)
    close_epoch(state)
    Checkpoint(path, run=RUN, every_seconds=60)(Event.EPOCH, state)
    assert same(load_checkpoint(path, run=RUN), state.state_dict() | {"about": {}, "source": str(path)})


def test_a_training_goes_on_with_the_same_bits(path, state, another_state, step, close_epoch):
    saves = Checkpoint(path, run=RUN, every_seconds=60)
    saves(Event.START, state)
    step(state)
    close_epoch(state)
    step(state)
    saves(Event.STOP, state)
    another_state.load_state_dict(load_checkpoint(path, run=RUN))
    assert another_state.step == state.step == 5
    for one in (state, another_state):
        step(one)
    assert same(another_state.state_dict(), state.state_dict())


def test_a_file_is_there_after_every_epoch_and_not_at_the_start(path, clock, state, step, close_epoch):
    saves = Checkpoint(path, run=RUN, every_seconds=60)
    saves(Event.START, state)
    step(state)
    saves(Event.STEP, state)
    assert not path.exists()
    close_epoch(state)
    saves(Event.EPOCH, state)
    assert load_checkpoint(path, run=RUN)["epoch"] == 1


def test_within_an_epoch_seconds_decide(path, clock, state, step):
    saves = Checkpoint(path, run=RUN, every_seconds=60)
    saves(Event.START, state)
    for seconds, saved in ((59, None), (1, 2), (59, 2), (1, 4)):
        clock.now += seconds
        step(state)
        saves(Event.STEP, state)
        assert (load_checkpoint(path, run=RUN) or {}).get("batch") == saved


def test_processes_that_share_weights_agree_when_to_save(path, clock, state, step, monkeypatch):
    """Each hands over its part: were one alone to save, it would wait for the others for ever."""
    others = []  # what another process says when all are asked
    state.sharded = True
    monkeypatch.setattr(type(state.world), "any_rank", lambda world, flag: others.pop(0) or flag)
    saves = Checkpoint(path, run=RUN, every_seconds=60)
    saves(Event.START, state)
    for due, broken, saved in ((False, False, False), (True, True, False), (True, False, True)):
        others[:] = [due, broken]
        step(state)
        saves(Event.STEP, state)
        assert path.is_file() == saved


def test_a_stop_is_saved_at_once_and_the_same_step_never_twice(path, clock, state, step):
    saves = Checkpoint(path, run=RUN, every_seconds=60)
    saves(Event.START, state)
    step(state)
    saves(Event.STOP, state)
    assert load_checkpoint(path, run=RUN)["batch"] == 1
    path.unlink()
    saves(Event.STOP, state)
    saves(Event.END, state)
    assert not path.exists()


def test_a_training_that_was_just_resumed_is_not_saved_again(path, state, step):
    step(state)
    saves = Checkpoint(path, run=RUN, every_seconds=0)
    saves(Event.START, state)
    saves(Event.STOP, state)
    assert not path.exists()


@pytest.mark.parametrize("place", ["loss", "weight"])
def test_a_state_that_is_not_finite_leaves_the_last_good_one(path, state, step, place):
    saves = Checkpoint(path, run=RUN, every_seconds=0)
    step(state)
    saves(Event.STEP, state)
    step(state)
    with torch.no_grad():
        (state.totals.loss if place == "loss" else state.model[0].bias[1]).fill_(torch.inf)
    saves(Event.EPOCH, state)
    assert load_checkpoint(path, run=RUN)["batch"] == 1


def test_a_full_disk_leaves_the_last_good_one(path, state, step, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    saves = Checkpoint(path, run=RUN, every_seconds=0)
    step(state)
    saves(Event.STEP, state)
    step(state)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saves(Event.STEP, state)
    assert load_checkpoint(path, run=RUN)["batch"] == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_missing_file_is_no_checkpoint(path):
    assert load_checkpoint(path, run=RUN) is None


def test_another_run_s_checkpoint_is_refused(path, state):
    Checkpoint(path, run="000000000000", every_seconds=60)(Event.EPOCH, state)
    with pytest.raises(CheckpointError, match=f"last.ckpt is of run 000000000000, not of {RUN}. Move it away"):
        load_checkpoint(path, run=RUN)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other"])
def test_a_damaged_file_is_named_with_what_to_do(path, state, damage):
    Checkpoint(path, run=RUN, every_seconds=60)(Event.EPOCH, state)
    content = path.read_bytes()
    if damage == "other":
        torch.save([1, 2], path)
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"not a checkpoint"}[damage])
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, run=RUN)
    assert caught.value.source == str(path)
    assert "elete" not in str(caught.value), "what is damaged may still be of use to someone"
    assert path.is_file()
    assert "weights_only" not in str(caught.value), "torch's advice to load it unsafely is not ours"


@pytest.mark.parametrize(
    ("met", "kind"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), OSError),
        (OSError(errno.EIO, "Input/output error"), OSError),
        (MemoryError(), MemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), MemoryError),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_not_called_damaged(path, state, monkeypatch, met, kind):
    Checkpoint(path, run=RUN, every_seconds=60)(Event.EPOCH, state)

    def load(*args: object, **options: object) -> None:
        raise met

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(kind) as caught:
        load_checkpoint(path, run=RUN)
    assert not isinstance(caught.value, CheckpointError)
    assert str(path) in str(caught.value)
    assert getattr(caught.value, "errno", None) == getattr(met, "errno", None)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_file_does_not_run(path, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    if how == "torch":
        torch.save({"run": RUN, "state": Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps({"run": RUN, "state": Bomb()}))
    with pytest.raises(CheckpointError):
        load_checkpoint(path, run=RUN)
    assert not (tmp_path / "exploded").exists()
