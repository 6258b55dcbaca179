"""Hostile files for every loader of data: an error that names the file, bounded memory and time, nothing executed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("hostile_data.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="tries each file in a fork of one process")


def attempt(*options: str, seconds: float) -> dict[str, Any]:
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, os.fspath(PROGRAM), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(400)  # seconds, but on a machine that is busy with other things
def test_a_sample_of_hostile_files() -> None:
    found = attempt("--sample", "10", "--seed", "7", seconds=380)
    assert found["cases"] == 10
    assert found["failures"] == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_hostile_files() -> None:
    found = attempt("--seed", "0", seconds=3500)
    assert found["cases"] > 900
    assert set(found["by loader"]) >= {
        "folders",
        "shards",
        "parquet",
        "others",
        "npz",
        "cifar10",
        "mnist",
        "svhn",
        "kept",
    }
    assert found["failures"] == {}
