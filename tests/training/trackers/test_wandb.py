"""What an offline run's file holds, read by its format (LevelDB's log) and W&B's own messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from rarefy.training.trackers.wandb import WandB

PACKAGE = "wandb"
pytestmark = pytest.mark.filterwarnings("ignore")  # of wandb's own dependencies
BLOCK = 32768


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path):
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))


def messages(file: Path) -> Iterator[bytes]:
    """Records of a log: after 7 bytes, pieces of checksum (4), length (2), type (1: whole, 2-4: first to last)."""
    content, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def read(folder: Path) -> dict[str, list]:
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, list] = {"points": [], "summary": [], "config": [], "id": []}
    (file,) = folder.glob("run-*.wandb")
    for message in messages(file):
        record = Record.FromString(message)
        if record.WhichOneof("record_type") == "history":
            items = {
                (item.key or ".".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item
            }
            found["points"].append((items["_step"], items.get("train_loss")))
        elif record.WhichOneof("record_type") == "summary":
            found["summary"] += [(i.key or ".".join(i.nested_key), i.value_json) for i in record.summary.update]
        elif record.WhichOneof("record_type") == "run":
            found["id"].append(record.run.run_id)
            found["config"] += [(item.key, item.value_json) for item in record.run.config.update]
    return found


def folders(play) -> list[Path]:
    return sorted((play.run.folder.parent / "wandb").glob("offline-run-*"))


WHOLE = [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]


def test_history_scores_and_config(play, capfd):
    play(WandB())
    (folder,) = folders(play)
    found = read(folder)
    assert found["points"] == WHOLE
    assert ("test_accuracy", "0.75") in found["summary"]
    assert ("density", "0.1") in found["config"]
    assert set(found["id"]) == {play.run.id}
    assert capfd.readouterr() == ("", "")


def test_a_resumed_run_has_every_point_once(play):
    play(WandB(), until=2, stop=True)
    play(WandB(), history=3)
    (folder,) = folders(play)
    assert read(folder)["points"] == WHOLE


def test_what_was_uploaded_is_not_deleted(play):
    play(WandB(), until=2, stop=True)
    (first,) = folders(play)
    (first / f"run-{play.run.id}.wandb.synced").touch()
    play(WandB(), history=2)
    assert len(folders(play)) == 2
    assert first.exists()
    assert sorted(len(read(folder)["points"]) for folder in folders(play)) == [2, 4]


def test_a_finished_run_that_is_asked_for_again_is_left_alone(play):
    play(WandB())
    before = folders(play)
    play(WandB())
    assert folders(play) == before
