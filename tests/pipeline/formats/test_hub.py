"""Folders for the Hugging Face hub, read by its own library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml

import rarefy
from rarefy.models import build, parse
from rarefy.pipeline import TrainedNetwork


def test_hub(network: TrainedNetwork, tmp_path: Path, compare: Callable) -> None:
    folder = tmp_path / "hub"
    (folder / ".git").mkdir(parents=True)  # a clone of a repository on the hub
    (folder / ".git" / "HEAD").write_text("ref")
    rarefy.export(network, "hub", folder, license="mit")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    run = {"run/record.json", "run/model.safetensors"}
    assert files == {".git/HEAD", "README.md", "config.json", "model.safetensors", *run}
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"]["3"] == "3"
    model = build(parse(config["architecture"]), in_channels=1, size=(8, 8), generator=torch.Generator()).eval()
    model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    compare(model)
    compare(rarefy.load_run(folder / "run").model)


def test_the_card_is_what_the_hub_reads(network: TrainedNetwork, tmp_path: Path) -> None:
    rarefy.export(network, "hub", tmp_path / "hub", license="mit")
    text = (tmp_path / "hub" / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["library_name"], front["datasets"]) == ("mit", "rarefy", ["digits"])
    record = network.record
    accuracy = record.metrics["test"]["accuracy"]
    for number in (f"{100 * accuracy:.2f}%", f"{record.params.kept:,} of {record.params.total:,}", "cifar_resnet_8_8"):
        assert number in text
    assert all(f"| `{layer.name}` |" in text for layer in record.layers)
    hub = pytest.importorskip("huggingface_hub", reason="timm brings it")
    (result,) = hub.ModelCard.load(tmp_path / "hub" / "README.md").data.eval_results
    assert (result.metric_type, result.dataset_name) == ("accuracy", "digits")
    assert result.metric_value == pytest.approx(accuracy, abs=1e-6)
