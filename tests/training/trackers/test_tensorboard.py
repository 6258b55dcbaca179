"""TensorBoard's own reader sees every point once, whatever happened to the training."""

from __future__ import annotations

import pytest

from rarefy.training.trackers.tensorboard import TensorBoard

PACKAGE = "tensorboard"


@pytest.fixture(autouse=True)
def _in_order(monkeypatch):
    """Files of one second are read in the order of a counter, as text: 10 before 9. A resumed training has seconds."""
    from tensorboard.summary.writer import event_file_writer

    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def read(play):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(play.run.folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()


def points(play, name: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in read(play).Scalars(name)]


WHOLE = [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]


def test_history_scores_and_config(play):
    play(TensorBoard())
    assert points(play, "train_loss") == WHOLE
    assert points(play, "lr") == [(epoch, 0.1) for epoch in (1, 2, 3, 4)]
    assert points(play, "test_accuracy") == [(4, 0.75)]
    tags = read(play).Tags()
    assert sorted(tags["scalars"]) == ["lr", "test_accuracy", "test_images", "train_loss"]
    (text,) = read(play).Tensors("config/text_summary")
    assert b"density: 0.1" in text.tensor_proto.string_val[0]


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("checkpoint", [0, 1, 2, 3])
def test_a_resumed_run_has_every_point_once(play, stop, checkpoint):
    """Resumed from any checkpoint: behind what was tracked, beyond it, or lost."""
    play(TensorBoard(), until=2, stop=stop)
    play(TensorBoard(), history=checkpoint)
    assert points(play, "train_loss") == points(play, "train_loss") == WHOLE
    assert points(play, "test_accuracy") == [(4, 0.75)]
    assert len(read(play).Tensors("config/text_summary")) == 1


def test_an_epoch_that_a_kill_cut_in_two_is_written_anew(play):
    from torch.utils.tensorboard import SummaryWriter

    play(TensorBoard(), until=2)
    with SummaryWriter(str(play.run.folder / "tensorboard")) as writer:
        writer.add_scalar("lr", 0.1, 3)
    play(TensorBoard(), history=3)
    assert points(play, "lr") == [(epoch, 0.1) for epoch in (1, 2, 3, 4)]
    assert points(play, "train_loss") == WHOLE


def test_a_finished_run_that_is_asked_for_again_is_left_alone(play):
    play(TensorBoard())
    before = sorted((play.run.folder / "tensorboard").iterdir())
    play(TensorBoard())
    assert sorted((play.run.folder / "tensorboard").iterdir()) == before
