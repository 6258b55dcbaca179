"""A precision that the CPU computes slowly in is warned of, with the number that was measured."""

from __future__ import annotations

import ast
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.config import Config
from rarefy.pipeline import run
from rarefy.training._slow_precision import compare_with_float32, warn_of_slow_precision

CPU = torch.device("cpu")


@pytest.fixture
def without_instructions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A CPU on which convolutions under autocast take a tenth of a second: many times as long as others."""
    quick: Callable[..., Tensor] = F.conv2d

    def convolve(*given: Any, **options: Any) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            time.sleep(0.1)
        return quick(*given, **options)

    monkeypatch.setattr(F, "conv2d", convolve)
    compare_with_float32.cache_clear()
    yield
    compare_with_float32.cache_clear()


@pytest.mark.usefixtures("without_instructions")
def test_what_is_slow_is_named_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "rarefy"):
        warn_of_slow_precision("bf16", CPU)
    slower = compare_with_float32("bf16")["convolutions"]
    assert slower > 2
    assert f"convolutions {slower:.1f} times" in caplog.text


@pytest.mark.usefixtures("without_instructions")
def test_it_is_measured_once_and_only_where_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    convolve = F.conv2d

    def count(*given: Any, **options: Any) -> Tensor:
        measured.append(1)
        return convolve(*given, **options)

    monkeypatch.setattr(F, "conv2d", count)
    warn_of_slow_precision("fp32", CPU)
    warn_of_slow_precision("bf16", torch.device("cuda"))
    assert measured == []
    warn_of_slow_precision("bf16", CPU)
    once = len(measured)
    warn_of_slow_precision("bf16", CPU)
    assert len(measured) == once > 0


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the limit is one of x86 processors")
def test_a_processor_without_the_instructions_is_found_slow() -> None:
    """With oneDNN held to AVX2, as on a machine that has no more."""
    code = "from rarefy.training._slow_precision import compare_with_float32 as compare; print(compare('bf16'))"
    limits = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | limits, capture_output=True, check=True)
    assert ast.literal_eval(done.stdout.decode())["convolutions"] > 4, "pytorch#183815 has 4 to 16"


@pytest.mark.usefixtures("without_instructions")
def test_a_training_warns(tiny_run: dict[str, Any], tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    values = {"data": tiny_run["data"], "model": "mlp_8", "engine": "masked", "device": "cpu"}
    with caplog.at_level(logging.WARNING, "rarefy"):
        run(Config.from_values(values | {"training": {"epochs": 1, "precision": "bf16"}}), out=tmp_path)
    assert "bf16 is slow on this processor" in caplog.text
