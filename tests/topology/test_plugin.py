"""A drop rule in a file outside the package, announced by an entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RULE = """
import dataclasses
from typing import ClassVar

import torch

from rarefy.topology import DROPS


@DROPS.register("lowest_index")
@dataclasses.dataclass(frozen=True)
class LowestIndex:
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, layer, count):
        marked = torch.zeros_like(layer.mask)
        marked.view(-1)[layer.mask.flatten().nonzero()[:count, 0]] = True
        return marked
"""
UPDATE = """
import torch
from rarefy.topology import DROPS, TOPOLOGIES, Layer, UpdateStep, update

print("lowest_index" in DROPS.names())
weight, mask = torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([True, True, True, False])
dynamic = TOPOLOGIES.build("dynamic", drop="lowest-index", fraction=0.4)
layer = Layer("fc.weight", weight, mask, None, None, mask, 3, 3)
print(update(dynamic, [layer], UpdateStep(100, 1000, 17))["fc.weight"].tolist())
"""


def test_a_drop_rule_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "own_rule.py").write_text(RULE)
    metadata = tmp_path / "own_rule-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-rule\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rarefy.drops]\nlowest_index = own_rule:LowestIndex\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", UPDATE], env=environment, capture_output=True, text=True, check=True)
    # the largest weight goes, because it has the lowest index; the pruned one grows
    assert run.stdout.splitlines() == ["True", "[False, True, True, True]"]
