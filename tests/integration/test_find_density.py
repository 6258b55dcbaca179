"""``rarefy find-density`` with real runs in processes: killed, and given again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rarefy.records import find

COMMAND = (
    "find-density --data digits --model mlp_64 --epochs 12 --fix --device cpu --engine masked --scale smoke --margin 5 "
    "--workers 2"
)


def start(folder: Path) -> subprocess.Popen[str]:
    words = [*COMMAND.split(), "--out", str(folder / "runs"), "-o", str(folder / "found.html")]
    return subprocess.Popen(
        [sys.executable, "-m", "rarefy", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_and_given_again_it_ends_with_each_run_once_and_a_page(tmp_path: Path) -> None:
    process = start(tmp_path)
    while len(list(tmp_path.glob("runs/*/record.json"))) < 3:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {record.id: record.created for record in find(tmp_path / "runs")}
    process = start(tmp_path)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    records = {record.id: record for record in find(tmp_path / "runs")}
    assert {run: records[run].created for run in before} == before
    values = json.loads((tmp_path / "found.json").read_text())
    assert values["answer"] in text
    assert {trial["run"] for trial in values["evidence"]} == set(records)
    for trial in values["evidence"]:
        record = records[trial["run"]]
        assert record.config["density"] == trial["density"]
        assert len(record.history) == trial["epochs"] == (12 if trial["effort"] == 1 else 3)
    if values["density"] < 1:
        saved = {saving["name"].split(" (")[0]: saving["sparse"] / saving["dense"] for saving in values["savings"]}
        assert list(saved)[:3] == ["prunable weights kept", "FLOPs of a prediction", "FLOPs of training on one image"]
        assert saved["prunable weights kept"] == pytest.approx(values["density"], rel=0.01)
        assert saved["model.safetensors"] < 1
        assert saved["training step"] > 0
        assert saved["prediction"] > 0
