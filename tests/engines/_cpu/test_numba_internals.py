"""What the kernels use of Numba, llvmlite and torch's OpenMP beyond their interfaces; a failure names the release."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import llvmlite
import numba
import numpy as np
import pytest
import torch

from rarefy.engines._cpu import get_compile_seconds
from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import CHUNKS
from rarefy.engines._cpu.kernels._numba import cached_njit, get_cpu_features, inner_njit
from rarefy.engines._cpu.kernels._openmp import find_openmp
from rarefy.engines._cpu.kernels._vector_ops import clear

CHANGED = (
    f"Numba {numba.__version__} or llvmlite {llvmlite.__version__} changed it: see "
    "src/rarefy/engines/_cpu/kernels/_numba.py"
)


@inner_njit()
def add_one(numbers):  # type: ignore[no-untyped-def]
    for i in range(numbers.size):
        numbers[i] += 1


@cached_njit()
def add_two(numbers):  # type: ignore[no-untyped-def]
    add_one(numbers)
    add_one(numbers)


@cached_njit()
def clear_second(numbers):  # type: ignore[no-untyped-def]
    clear(numbers, 16, 1)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path))
    return tmp_path


def test_machine_code_is_written_and_loaded(empty_cache: Path) -> None:
    numbers = np.zeros(4, np.float32)
    add_two(numbers)
    assert numbers.tolist() == [2, 2, 2, 2]
    assert len(list(empty_cache.rglob("*.bin"))) == 1, CHANGED
    again = cached_njit()(add_two.py_func)
    again(numbers)
    assert numbers.tolist() == [4, 4, 4, 4]
    assert again.stats.cache_misses == {} or not again.stats.cache_misses, CHANGED
    assert sum(again.stats.cache_hits.values()) == 1, CHANGED


def test_a_function_inside_a_kernel_has_no_machine_code_and_refuses_to_be_called() -> None:
    add_two(np.zeros(4, np.float32))
    (compiled,) = add_one.overloads.values()
    assert not compiled.library._codegen._engine.is_symbol_defined(compiled.fndesc.mangled_name), CHANGED
    with pytest.raises(TypeError):
        add_one(np.zeros(4, np.float32))


def test_each_compilation_is_reported_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rarefy")
    seconds = [get_compile_seconds()]
    for _ in range(2):  # the second one loads what the first one wrote
        cached_njit()(add_two.py_func)(np.zeros(4, np.float32))
        seconds.append(get_compile_seconds())
    assert [record.getMessage() for record in caplog.records if "add_two" in record.getMessage()] == [
        "compiling the kernel add_two, once on this machine"
    ]
    assert seconds[0] < seconds[1] < seconds[2] < seconds[1] + (seconds[1] - seconds[0])


def test_vectors_are_written_through_typed_pointers() -> None:
    numbers = torch.ones(3 * LANES).numpy()  # aligned to a vector, as the kernels' memory is
    clear_second(numbers)
    assert numbers.reshape(3, LANES).sum(1).tolist() == [LANES, 0, LANES], CHANGED


def test_the_features_decide_about_the_chunks() -> None:
    features = get_cpu_features().split(",")
    assert all(feature[:1] in "+-" for feature in features), CHANGED
    assert (CHUNKS[0] == (2, 8)) == ("+avx512f" in features), CHANGED


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP elsewhere")
def test_torchs_openmp_is_found() -> None:
    assert find_openmp() is not None, f"torch {torch.__version__} has another OpenMP: see kernels/_openmp.py"


def test_no_garbage_is_collected_while_a_kernel_is_compiled() -> None:
    collections: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        collections.append(phase)

    gc.collect()
    threshold = gc.get_threshold()
    gc.set_threshold(50)
    gc.callbacks.append(note)
    try:
        cached_njit()(add_two.py_func)(np.zeros(4, np.float32))
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*threshold)
    assert gc.isenabled()
    assert len(collections) < 200, "Numba makes tens of thousands of objects"
