"""How a run begins: what is damaged is set aside, what was left half written goes, what never began leaves nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from rarefy.config import Config
from rarefy.pipeline import RunHeld, run
from rarefy.records import read
from rarefy.training import Event, Interrupted, State

TINY = {"name": "synthetic", "height": 4, "width": 4, "classes": 3, "train": 32, "validation": 16, "test": 16}


def config(**values: Any) -> Config:
    training = {"epochs": 2, "batch_size": 16, **values.pop("training", {})}
    given = {"data": TINY, "model": "mlp_8", "density": 0.3, "engine": "masked", "device": "cpu", **values}
    return Config.from_values({**given, "training": training})


def stop_after(steps: int) -> tuple[list[Any], Any]:
    """A callback and a question that stop a training."""
    seen: list[int] = []

    def count(event: Event, state: State) -> None:
        seen.extend([state.step] if event is Event.STEP else [])

    return [count], lambda: len(seen) >= steps


def test_a_request_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1e-12"):
        run(config(density=1e-12), out=tmp_path / "new" / "runs")
    assert list(tmp_path.iterdir()) == []
    done = run(config(), out=tmp_path / "runs")
    with pytest.raises(ValueError, match="1e-12"):
        run(config(density=1e-12), out=tmp_path / "runs")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [done.id]


def test_what_has_begun_stays_when_it_fails(tmp_path: Path) -> None:
    def fail(event: Event, state: State) -> None:
        if event is Event.STEP:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        run(config(), out=tmp_path, callbacks=[fail])
    (folder,) = tmp_path.iterdir()
    assert {"config.yaml", "log.txt", "history.jsonl"} <= {path.name for path in folder.iterdir()}


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    callbacks, should_stop = stop_after(1)
    with pytest.raises(Interrupted):
        run(config(), out=tmp_path, callbacks=callbacks, should_stop=should_stop)
    (folder,) = tmp_path.iterdir()
    (folder / "history.jsonl").unlink()
    checkpoint = folder / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        run(config(), out=tmp_path)
    assert checkpoint.stat().st_size == 100


@pytest.mark.parametrize("content", ["", "{", "[1]", "schema"])
def test_a_damaged_record_is_made_anew_by_the_same_command(tmp_path: Path, content: str) -> None:
    first = run(config(), out=tmp_path)
    file = tmp_path / first.id / "record.json"
    values = json.loads(file.read_text())
    del values["layers"]
    content = json.dumps(values) if content == "schema" else content
    file.write_text(content)
    steps: list[Any] = []
    again = run(config(), out=tmp_path, callbacks=[lambda event, state: steps.append(event)])
    assert Event.STEP not in steps, "it goes on from the last checkpoint, where nothing is left to train"
    assert again == read(file)
    assert (again.metrics, again.masks, again.history) == (first.metrics, first.masks, first.history)
    assert (file.parent / "record.damaged.json").read_text() == content


def test_claiming_a_run_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    callbacks, should_stop = stop_after(1)
    with pytest.raises(Interrupted):
        run(config(), out=tmp_path, callbacks=callbacks, should_stop=should_stop)
    (folder,) = tmp_path.iterdir()
    left = folder / ".last-00112233445566ff.ckpt"
    left.write_bytes(b"half a checkpoint")
    inside: list[bool] = []

    def look(event: Event, state: State) -> None:
        inside.append(left.exists())
        with pytest.raises(RunHeld):  # who does not get the lock clears nothing
            (folder / ".model-00112233445566ff.safetensors").touch()
            run(config(), out=tmp_path)
        assert (folder / ".model-00112233445566ff.safetensors").exists()

    run(config(), out=tmp_path, callbacks=[look])
    assert not any(inside)


def test_what_a_run_warns_about_is_in_its_record_once(tmp_path: Path) -> None:
    values = config(topology={"name": "rigl", "interval": 100})
    callbacks, should_stop = stop_after(1)
    with pytest.raises(Interrupted):
        run(values, out=tmp_path, callbacks=callbacks, should_stop=should_stop)
    record = run(values, out=tmp_path)
    (note,) = [note for note in record.notes if "rigl" in note.lower()]
    assert "100" in note, "the interval that is too long"
    assert run(config(), out=tmp_path).notes == ()


def test_a_note_of_an_earlier_attempt_is_kept(tmp_path: Path) -> None:
    callbacks, should_stop = stop_after(1)

    def warn(event: Event, state: State) -> None:
        if event is Event.START:
            logging.getLogger("rarefy").warning("said once")

    with pytest.raises(Interrupted):
        run(config(), out=tmp_path, callbacks=[warn, *callbacks], should_stop=should_stop)
    assert run(config(), out=tmp_path).notes == ("said once",)
