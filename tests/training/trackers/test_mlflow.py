"""MLflow's own client sees one run with every point once, whatever happened to the training."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rarefy.training.trackers.mlflow import MLflow

PACKAGE = "mlflow"
pytestmark = pytest.mark.filterwarnings("ignore")  # of mlflow's own dependencies, as it imports them


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def only_run(database: Path, experiment: str = "rarefy"):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, run


def points(database: Path, name: str) -> list[tuple[int, float]]:
    client, run = only_run(database)
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


WHOLE = [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]


def test_history_scores_and_config(play, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    play(MLflow())
    database = tmp_path / "runs" / "mlflow.db"
    assert points(database, "train_loss") == WHOLE
    run = only_run(database)[1]
    assert run.info.run_name == run.data.tags["rarefy.id"] == play.run.id
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "density": "0.1", "training.lr": "0.1", "training.clip_norm": "None", "training.epochs": "4"
    }  # fmt: skip
    assert run.data.metrics == {"train_loss": 0.25, "lr": 0.1, "test_accuracy": 0.75, "test_images": 16}
    assert [file.name for file in tmp_path.iterdir()] == ["runs"], "nothing is left where the command was given"


@pytest.mark.parametrize(("stop", "checkpoint"), [(True, 1), (False, 3), (False, 0)])
def test_a_resumed_run_has_every_point_once(play, tmp_path, stop, checkpoint):
    tracker = MLflow(database=str(tmp_path / "store.db"))
    play(tracker, until=2, stop=stop)
    assert only_run(tmp_path / "store.db")[1].info.status == ("KILLED" if stop else "RUNNING")
    play(tracker, history=checkpoint)
    assert points(tmp_path / "store.db", "train_loss") == WHOLE
    assert only_run(tmp_path / "store.db")[1].info.status == "FINISHED"


def test_a_finished_run_that_is_asked_for_again_is_left_alone(play, tmp_path):
    tracker = MLflow(experiment="depth", database=str(tmp_path / "store.db"))
    play(tracker)
    before = only_run(tmp_path / "store.db", "depth")[1].to_dictionary()
    play(tracker)
    assert only_run(tmp_path / "store.db", "depth")[1].to_dictionary() == before


def test_the_environment_may_name_the_store_and_an_option_goes_over_it(play, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/environment.db")
    play(MLflow(), history=0)
    assert points(tmp_path / "environment.db", "train_loss") == WHOLE
    play(MLflow(database=str(tmp_path / "option.db")), history=0)
    assert points(tmp_path / "option.db", "train_loss") == WHOLE


@pytest.mark.slow
def test_runs_that_start_together_share_a_new_store(tmp_path):
    program = (
        "import sys, pathlib; from rarefy.training import TrackedRun, TrackerCallback; "
        "from rarefy.training.trackers.mlflow import MLflow; "
        "TrackerCallback([MLflow()], TrackedRun(sys.argv[1], pathlib.Path(sys.argv[2]) / sys.argv[1], {}))"
        ".finish([{'epoch': 1, 'train_loss': 1.0}], {'accuracy': 0.5})"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, name, tmp_path]) for name in ("a", "b", "c")]
    assert [process.wait() for process in started] == [0, 0, 0]
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("select count(*) from metrics where key = 'test_accuracy'").fetchone() == (3,)
