"""A topology that did nothing is known from the record: by how much was explored, whatever the topology."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rarefy.analysis import read_runs
from rarefy.config import Config
from rarefy.pipeline import run
from rarefy.topology import TOPOLOGIES

TINY = {"name": "synthetic", "height": 4, "width": 4, "classes": 3, "train": 96, "validation": 16, "test": 16}
STRICT = ("gmp", "granet")  # they refuse an interval that is too long
MOVING = [
    name
    for name in TOPOLOGIES.names()
    if name not in STRICT and any(field.name == "interval" for field in dataclasses.fields(TOPOLOGIES.get(name)))
]


@pytest.mark.parametrize("interval", [2, 1000])
@pytest.mark.parametrize("name", MOVING)
def test_only_what_moved_goes_by_its_name(name: str, interval: int, tmp_path: Path) -> None:
    values = {
        "data": TINY, "model": "mlp_8", "density": 0.3, "engine": "masked", "device": "cpu",
        "topology": {"name": name, "interval": interval}, "training": {"epochs": 2, "batch_size": 8},
    }  # fmt: skip
    record = run(Config.from_values(values), out=tmp_path)
    (found,) = read_runs([tmp_path])
    moved = record.masks["seed"] is None  # masks forget their seed as soon as one is replaced
    assert moved == (interval == 2)
    assert found.settings["topology.name"] == (name if moved else f"{name} (never moved)")
    assert bool(record.notes) != moved
