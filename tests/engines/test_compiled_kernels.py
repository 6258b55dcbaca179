"""Which kernels a model compiles, and when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import logging, torch, rarefy

class Collector(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("compiling"):
            print("compiled:", record.getMessage().split()[3].strip(","))

logging.getLogger("rarefy").setLevel("INFO")
logging.getLogger("rarefy").addHandler(Collector())
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
before = torch.get_rng_state()
plan = rarefy.use_engine(model, rarefy.sparsify(model, density=0.2), "cpu", inputs=torch.ones(8, 64))
assert torch.equal(torch.get_rng_state(), before), "draws nothing"
assert plan.compile_seconds > 0
print("ready")
model(torch.ones(40, 64)).square().sum().backward()
"""


@pytest.mark.slow
@pytest.mark.kernels
def test_a_model_compiles_its_own_kernels_before_the_first_step(tmp_path: Path) -> None:
    environment = os.environ | {"RAREFY_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=True)
    *compiled, last = done.stdout.splitlines()
    assert last == "ready", "nothing is compiled in a step"
    names = {line.removeprefix("compiled: ") for line in compiled}
    assert {"convolve", "correlate"} <= names
    assert not names & {"pool", "unpool", "norm_forward", "norm_backward"}, "a perceptron has none of these"
