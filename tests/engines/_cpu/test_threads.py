"""The pool of threads, and what importing and compiling cost."""

from __future__ import annotations

import copy
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rarefy
from rarefy.cores import count_cores
from rarefy.engines._cpu import KernelsMissing, require_numba
from rarefy.engines._cpu.kernels import _threads
from rarefy.engines._cpu.kernels._openmp import find_openmp
from rarefy.engines._cpu.kernels._threads import run_parallel


@pytest.fixture(params=["OpenMP", "own pool"])
def whose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's threads, where they can be called, and those of machines where they cannot."""
    if request.param == "own pool":
        monkeypatch.setattr(_threads, "find_openmp", lambda: None)
    elif find_openmp() is None:
        pytest.skip("torch has no OpenMP here that can be called")


Kernel = Callable[[tuple[int, int, int], int, int, tuple[Any, ...]], None]


@pytest.fixture(scope="module")
def numbers() -> Kernel:
    """A kernel that adds to its part's number."""
    import numba

    from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator]
    def one(part: int, parts: int, places: Any, more: tuple[float, bool]) -> None:
        places[part] += part + parts * more[0]

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator]
    def kernel(openmp: Any, part: int, parts: int, arguments: Any) -> None:
        omp_parallel_for(one, openmp, part, parts, arguments)

    found: Kernel = kernel
    return found


@pytest.mark.usefixtures("whose")
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_every_part_runs_once(numbers: Kernel, parts: int) -> None:
    places = np.zeros(6, np.float32)
    run_parallel(numbers, parts, (places, (10.0, True)))
    assert places.tolist() == [part + 10.0 * parts if part < parts else 0.0 for part in range(6)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted where Linux lists them")
def test_no_second_pool_beside_torchs() -> None:
    if find_openmp() is None:
        pytest.skip("torch has no OpenMP here that can be called")
    code = (
        "import os, torch; torch.set_num_threads(2); torch.ones(1 << 22).mul_(2)\n"
        "from rarefy.engines._cpu.kernels._peak import measure_peak; torch.set_num_threads(1)\n"
        "measure_peak(1); before = len(os.listdir('/proc/self/task')); measure_peak(2)\n"
        "raise SystemExit(len(os.listdir('/proc/self/task')) - before)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_own_pool_has_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "find_openmp", lambda: None)
    monkeypatch.setattr(_threads, "_pool", None)
    seen: list[int] = []
    others = threading.active_count()
    run_parallel(lambda openmp, part, parts, arguments: seen.append(part), 5000, ())
    assert sorted(seen) == list(range(5000))
    assert threading.active_count() - others < count_cores()


def test_an_error_in_any_part_of_the_own_pool_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "find_openmp", lambda: None)

    def kernel(openmp: object, part: int, parts: int, arguments: object) -> None:
        if part == 2:
            raise ArithmeticError("part two")

    for _ in range(2):
        with pytest.raises(ArithmeticError, match="part two"):
            run_parallel(kernel, 3, ())
    run_parallel(kernel, 2, ())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(numbers: Kernel) -> None:
    def child() -> None:
        places = np.zeros(2, np.float32)
        run_parallel(numbers, 2, (places, (0.0, True)))
        raise SystemExit(int(places.sum()))

    run_parallel(numbers, 2, (np.zeros(2, np.float32), (0.0, True)))
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 1


def test_without_numba_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(KernelsMissing, match="pip install numba"):
        require_numba()


@pytest.mark.kernels
@pytest.mark.parametrize("threads", [1, 3, 4, 8 * count_cores()])
def test_any_number_of_threads_computes_the_same_and_twice_the_same_bits(threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    dense = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3, stride=2), nn.Flatten(),
        nn.Linear(8 * 9, 5),
    )  # fmt: skip
    for parameter in dense.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    images = torch.randn(40, 3, 8, 8, generator=generator)
    sparse = copy.deepcopy(dense)
    rarefy.sparsify(dense, density=0.3, seed=1)  # the same masks: a function of the seed
    rarefy.use_engine(sparse, rarefy.sparsify(sparse, density=0.3, seed=1), "cpu")
    expected = compute_step(dense, images)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = [compute_step(sparse, images) for _ in range(2)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))
    for result, value in zip(results[0], expected, strict=True):
        torch.testing.assert_close(result, value, rtol=1e-4, atol=1e-4 * float(value.abs().max()))


def compute_step(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Computes outputs and the gradient of the images."""
    inputs = images.clone().requires_grad_()
    outputs = model(inputs)
    outputs.square().sum().backward()
    assert inputs.grad is not None
    return outputs.detach().clone(), inputs.grad
