"""Runs with data and networks of one's own: ids, resuming, loading, and what is refused when something has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rarefy import Config
from rarefy.data import MissingData
from rarefy.errors import InvalidInput
from rarefy.models import ModelFileChanged
from rarefy.pipeline import EvaluationOptions, OtherData, RunError, evaluate_runs, load_run, run
from rarefy.training import Event, Interrupted

NET = """
from torch import nn
def make(in_channels, classes, size, width=6):
    inputs = in_channels * size[0] * size[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))
"""
PIXELS = np.random.default_rng(4).integers(0, 256, (60, 5, 4, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3
PIXELS[np.arange(60), :, :, LABELS] |= 128  # something to learn


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_cache: Callable[[Path], Path]) -> Path:
    """The working folder, with a file of images, a table and a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rarefy.reports.render", lambda *arguments: [])  # half of the time
    monkeypatch.setenv("RAREFY_CACHE", str(make_cache(tmp_path / "cache")))
    np.savez("images.npz", images=PIXELS, labels=np.array(["a", "b", "c"])[LABELS])
    rows = "\n".join(f"{','.join(map(str, p[0, 0]))},{n}" for p, n in zip(PIXELS, LABELS, strict=True))
    Path("table.csv").write_text(f"red,green,blue,label\n{rows}\n")
    Path("net.py").write_text(NET)
    return tmp_path


def config(data: Any = "npz:images.npz", model: str = "net.py:make", epochs: int = 2, **values: Any) -> Config:
    training = {"epochs": epochs, "batch_size": 16, "lr": 0.05}
    return Config.from_values(
        {"data": data, "model": model, "density": 0.5, "engine": "masked", "training": training, **values}
    )


def test_a_run_names_its_data_and_its_network(folder: Path) -> None:
    record = run(config())
    assert record.config["data"]["name"] == "npz:images.npz"
    assert record.config["model"]["name"].startswith("net.py:make@")
    assert record.spec is not None
    assert record.spec.class_names == ("a", "b", "c")
    assert run(Config.from_values(record.config)) == record  # reads it, and trains nothing


def test_predictions_need_the_network_and_not_the_data(folder: Path) -> None:
    record = run(config())
    Path("images.npz").unlink()
    network = load_run(Path("runs") / record.id)
    assert network.class_names == ("a", "b", "c")
    assert network.predict(PIXELS[:2]).shape == (2, 3)


def test_a_changed_file_is_other_data_and_a_moved_one_is_not(folder: Path) -> None:
    record = run(config())
    (folder / "elsewhere").mkdir()
    Path("images.npz").rename("elsewhere/images.npz")
    with pytest.raises(MissingData):
        run(config())
    assert run(config(), data_dir=folder / "elsewhere") == record
    evaluate_runs([Path("runs") / record.id], EvaluationOptions(), data_dir=folder / "elsewhere")
    np.savez("images.npz", images=PIXELS[::-1], labels=LABELS)
    with pytest.raises(OtherData):
        run(config())
    with pytest.raises(OtherData):
        evaluate_runs([Path("runs") / record.id], EvaluationOptions(), again=True)


def test_a_changed_network_is_another_run(folder: Path) -> None:
    record = run(config())
    Path("net.py").write_text(NET.replace("nn.ReLU()", "nn.Tanh()"))
    assert run(config()).id != record.id
    for act in (
        lambda: load_run(Path("runs") / record.id),
        lambda: evaluate_runs([Path("runs") / record.id], EvaluationOptions()),
        lambda: run(Config.from_values(record.config)),
    ):
        with pytest.raises((ModelFileChanged, InvalidInput)):
            act()


def test_code_that_came_with_a_run_is_not_executed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(config())
    monkeypatch.setenv("RAREFY_CACHE", str(folder / "other machine"))
    Path("net.py").write_text(NET)  # the same content
    with pytest.raises(InvalidInput, match="rarefy densities"):
        load_run(Path("runs") / record.id)
    with pytest.raises(InvalidInput, match="rarefy densities"):
        evaluate_runs([Path("runs") / record.id], EvaluationOptions())


@pytest.mark.parametrize("data", ["npz:images.npz", "csv:table.csv", "given"])
def test_an_interrupted_run_goes_on_to_the_same_bits(data: str, folder: Path) -> None:
    given = {"data": ((PIXELS, LABELS), None, None)} if data == "given" else {}
    whole = run(config(data if not given else "digits"), out=folder / "whole", **given)
    steps = 0

    def count(event: Event, state: object) -> None:
        nonlocal steps
        steps += event is Event.STEP

    chosen = config(data if not given else "digits")
    with pytest.raises(Interrupted):
        run(chosen, out=folder / "parts", callbacks=[count], should_stop=lambda: steps >= 4, **given)
    resumed = run(chosen, out=folder / "parts", **given)
    assert resumed.id == whole.id
    weights = [(folder / name / whole.id / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_given_data_are_part_of_the_run(folder: Path) -> None:
    data = ((PIXELS, LABELS), None, (PIXELS[:9] // 2, LABELS[:9]))
    record = run(config("digits"), data=data)
    assert record.config["data"]["name"] == f"given:{record.fingerprint}"
    assert run(config("digits"), data=data) == record
    assert run(config("digits"), data=((PIXELS // 2, LABELS), None, None)).id != record.id
    assert run(config({"name": "given", "flip": True}), data=data).id != record.id
    (again,) = evaluate_runs([Path("runs") / record.id], EvaluationOptions(calibration=True), data=data)
    assert "calibration" in again.metrics["test"]


def test_given_data_must_be_those_of_the_config(folder: Path) -> None:
    data = ((PIXELS, LABELS), None, None)
    record = run(config("digits"), data=data)
    recorded = Config.from_values(record.config)
    assert run(recorded, data=data) == record
    with pytest.raises(OtherData) as caught:
        run(recorded, data=((PIXELS // 2, LABELS), None, None))
    assert caught.value.known == record.fingerprint
    with pytest.raises(MissingData, match="given by a program"):
        run(recorded.model_copy(update={"seed": 3}))
    with pytest.raises(RunError, match="names the data set 'cifar10'"):
        run(config("cifar10"), data=data)


def test_a_table_is_for_perceptrons(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = run(config("csv:table.csv"))
    network = load_run(Path("runs") / record.id)
    rows = PIXELS[:, 0, 0]
    levels = (rows - 255 * np.array(network.spec.mean)) / (255 * np.array(network.spec.std))
    logits = network.model(
        torch.from_numpy(levels).float()
    )  # flattens its input: rows are as good as images of a pixel
    assert torch.allclose(network.predict(rows), logits.softmax(1), atol=1e-6)
    with pytest.raises(InvalidInput):
        network.predict(rows[:, :2])
    with pytest.raises(InvalidInput, match="rows of numbers"):
        evaluate_runs([Path("runs") / record.id], EvaluationOptions(ood=("uniform_noise",)))
    assert "convolutions" not in caplog.text
    run(config("csv:table.csv", "cifar_resnet_8_4", epochs=1))
    assert "convolutions, which see one pixel" in caplog.text
