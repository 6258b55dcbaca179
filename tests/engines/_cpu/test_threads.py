"""The pool of threads, and what importing and compiling cost."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import pytest
import torch

from rarefy.engines._cpu import KernelsMissing, _ready, ready
from rarefy.engines._cpu._threads import parallel, share


def test_every_part_runs_once() -> None:
    seen: list[int] = []
    parallel(seen.append, 4)
    assert sorted(seen) == [0, 1, 2, 3]


def test_an_error_in_any_part_arrives() -> None:
    def task(part: int) -> None:
        if part == 2:
            raise ArithmeticError("part two")

    for _ in range(2):
        with pytest.raises(ArithmeticError, match="part two"):
            parallel(task, 3)
    parallel(lambda part: None, 3)


def test_shares_cover_everything_once() -> None:
    for count in (0, 1, 5, 16):
        shares = [share(count, part, 3) for part in range(3)]
        assert [i for first, last in shares for i in range(first, last)] == list(range(count))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    parallel(lambda part: None, 2)
    process = multiprocessing.get_context("fork").Process(target=parallel, args=(lambda part: None, 2))
    process.start()
    process.join(20)
    assert process.exitcode == 0


def test_importing_leaves_numba_alone() -> None:
    code = "import sys, rarefy.engines._cpu; sys.exit('numba' in sys.modules or 'llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_numba_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ready.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(KernelsMissing, match=r"pip install rarefy\[fast\]"):
        ready()


@pytest.mark.kernels
def test_kernels_get_ready_without_touching_the_generator() -> None:
    pytest.importorskip("numba", reason="the cpu engine's kernels need numba")
    before = torch.get_rng_state()
    assert ready() > 0
    assert ready() < 5
    assert torch.equal(torch.get_rng_state(), before)
