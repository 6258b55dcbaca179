"""The folder of compiled kernels: what is read back, what is not trusted, what is removed, what is said."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pwd
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rarefy.engines._cpu
from rarefy.engines._cpu.kernels import _store
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._store import hash_sources, read_entry, write_entry
from rarefy.engines._cpu.kernels._tiles import FAST, update_moments
from rarefy.paths import NoCacheFolder, get_cache_folder

needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
ignore_threads = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
ZEN, OTHER = ("x86_64", "znver5", "+avx512f"), ("x86_64", "znver5", "+avx2")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path / "empty"))
    _store._warn_once.cache_clear()


def entries() -> list[Path]:
    return sorted((get_cache_folder() / "kernels").glob("*/*"))


def test_what_was_written_is_read_and_nothing_else() -> None:
    write_entry(ZEN, "convolve(int64)", b"code")
    assert read_entry(ZEN, "convolve(int64)") == b"code"
    assert read_entry(ZEN, "convolve(int32)") is None
    assert read_entry(OTHER, "convolve(int64)") is None, "compiled for another processor"


def test_settings_of_numba_keep_their_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    write_entry(ZEN, "convolve", b"code")
    monkeypatch.setenv("NUMBA_OPT", "1")
    assert read_entry(ZEN, "convolve") is None


@pytest.mark.parametrize("harm", ["a bit", "the end", "all"])
def test_damaged_code_is_never_run(harm: str) -> None:
    write_entry(ZEN, "convolve", b"code" * 9)
    (file,) = entries()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes({"a bit": bytes(content), "the end": content[:-3], "all": b""}[harm])
    assert read_entry(ZEN, "convolve") is None
    write_entry(ZEN, "convolve", b"new")
    assert read_entry(ZEN, "convolve") == b"new"


def test_an_edit_of_any_file_of_the_engine_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "_cpu"
    shutil.copytree(Path(rarefy.engines._cpu.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(package.rglob("*.py"))
    assert {"_emit.py", "_vector_ops.py", "_tiles.py"} <= {file.name for file in files}
    seen = {hash_sources(package)}
    for file in files:
        file.write_text(file.read_text() + "# edited\n")
        seen.add(hash_sources(package))
    assert len(seen) == len(files) + 1


def test_old_folders_go_and_other_files_stay() -> None:
    root = get_cache_folder() / "kernels"
    root.mkdir(parents=True)
    (root / "notes").mkdir()
    for number in range(9):
        write_entry((*ZEN, str(number)), "convolve", b"code")
    assert len([folder for folder in root.iterdir() if folder.name != "notes"]) == 5
    assert (root / "notes").is_dir()
    assert read_entry((*ZEN, "8"), "convolve") == b"code", "what is in use stays"


def test_a_folder_that_others_can_write_into_is_not_trusted(caplog: pytest.LogCaptureFixture) -> None:
    write_entry(ZEN, "convolve", b"code")
    (file,) = entries()
    file.parent.chmod(0o777)
    assert read_entry(ZEN, "convolve") is None
    with caplog.at_level(logging.WARNING, "rarefy"):
        write_entry(ZEN, "convolve", b"more")
    assert str(file.parent) in caplog.text


def test_a_folder_of_somebody_else_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    write_entry(ZEN, "convolve", b"code")
    (file,) = entries()
    if os.geteuid() == 0:
        os.chown(file.parent, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert read_entry(ZEN, "convolve") is None


def test_a_user_without_a_home_has_no_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    take_home(monkeypatch)
    with pytest.raises(NoCacheFolder, match="RAREFY_CACHE"):
        get_cache_folder()


@pytest.mark.parametrize("place", ["no home", "unwritable"])
def test_without_a_folder_a_kernel_is_compiled_in_memory_and_one_line_says_so(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if place == "no home":
        take_home(monkeypatch)
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("RAREFY_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "rarefy"):
        assert [cached_njit()(double)(2), cached_njit()(double)(2)] == [4, 4]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "RAREFY_CACHE" in caplog.text


def test_a_kernel_is_compiled_once_for_each_kind_of_arguments() -> None:
    first, second = cached_njit()(double), cached_njit()(double)
    assert (first(2), first(1.5)) == (4, 3.0)
    assert sum(first.stats.cache_misses.values()) == 2
    assert (second(2), second(1.5)) == (4, 3.0)
    assert sum(second.stats.cache_hits.values()) == 2
    assert not second.stats.cache_misses


@needs_fork
@ignore_threads
def test_the_process_that_compiles_a_kernel_computes_the_bits_of_those_that_load_it() -> None:
    hits, numbers = zip(*(run_in_a_process(compute_all_moments) for _ in range(2)), strict=True)
    assert hits == (0, 1)
    assert numbers[0] == numbers[1]


@needs_fork
@ignore_threads
def test_a_kernel_calls_its_own_functions_though_another_kernel_has_one_of_the_same_name() -> None:
    two, three = (float((NUMBERS * factor + (NUMBERS - factor) ** 2).sum()) for factor in (2, 3))
    assert run_in_a_process(call_kernels, "sum_with_two") == [two]  # compiled here
    assert run_in_a_process(call_kernels, "sum_with_three") == [three]  # compiled in another process
    assert run_in_a_process(call_kernels, "sum_with_two", "sum_with_three") == [two, three]
    assert run_in_a_process(call_kernels, "sum_with_three", "sum_with_two") == [three, two]
    assert len(entries()) == 2


@needs_fork
@ignore_threads
def test_processes_that_write_at_once_leave_one_whole_entry() -> None:
    contents = [bytes([number]) * 200_000 for number in range(3)]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(read_entry(ZEN, "convolve"))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen <= {None, *contents}
    assert read_entry(ZEN, "convolve") in contents
    assert len(entries()) == 1, "no temporary file is left"


def double(number: Any) -> Any:
    return number + number


add_moments = inner_njit(fastmath=FAST)(update_moments.py_func)  # which no other test has compiled


@cached_njit()
def update_all_moments(runs: Any, moments: Any) -> None:
    for row in range(runs.shape[0]):
        add_moments(runs[row], 16, moments[row])
        add_moments(runs[row], 5, moments[row])


def compute_all_moments() -> tuple[int, bytes]:
    """Returns the number of kernels that were loaded, and the bits of a kernel whose sums depend on their order."""
    runs, moments = np.random.default_rng(17).random((100, 160), np.float32), np.zeros((100, 3))
    update_all_moments(runs, moments)
    return sum(update_all_moments.stats.cache_hits.values()), moments.tobytes()


def make_sum(factor: int) -> Any:
    @inner_njit(fastmath=FAST)
    def sum_up(numbers: Any) -> Any:  # of one name for every factor, and too long to be inlined
        total = 0.0
        for i in range(numbers.size):
            total += numbers[i] * factor
        for i in range(numbers.size):
            total += (numbers[i] - factor) ** 2
        return total

    return sum_up


NUMBERS = np.arange(100.0)
sum_up_two, sum_up_three = make_sum(2), make_sum(3)


@cached_njit()
def sum_with_two(numbers: Any) -> Any:
    return sum_up_two(numbers[:0]) + sum_up_two(numbers)


@cached_njit()
def sum_with_three(numbers: Any) -> Any:
    return sum_up_three(numbers[:0]) + sum_up_three(numbers)


def call_kernels(*names: str) -> list[float]:
    return [globals()[name](NUMBERS) for name in names]  # a pickled kernel would have no cache


def run_in_a_process(function: Any, *arguments: Any) -> Any:
    """Runs a function in a new process that has this one's modules but, of the kernels above, no machine code."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, arguments)


def write_often(content: bytes) -> None:
    for _ in range(10):
        write_entry(ZEN, "convolve", content)


def take_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user id that no one knows, without any variable: what a container may run as."""

    def nobody(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for variable in ("RAREFY_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
