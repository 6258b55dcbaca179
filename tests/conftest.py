"""What every test shares: hypothesis without deadlines, tests that need a GPU, and the place of the real data."""

from __future__ import annotations

import inspect
import os
import pickle
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from rarefy.paths import get_cache_folder

# A shared machine is slow now and then, which is not a failure; CI draws the same examples every time.
hypothesis.settings.register_profile("rarefy", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("rarefy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch  # only here: a run without such tests should not wait for it

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], dict[str, Any]]]:
    """``run_script(file)``: runs a script of docs/plots; what it imports from its folder is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # the scripts add their folder
    before = set(sys.modules)
    yield lambda file: runpy.run_path(str(file))
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent.name == "plots":
            del sys.modules[name]


@pytest.fixture(scope="session")
def make_cache() -> Callable[[Path], Path]:
    """``make_cache(folder)``: makes a folder for caches of which only the compiled kernels are the user's own."""
    kernels = get_cache_folder() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernels").symlink_to(kernels, target_is_directory=True)
        return folder

    return make


@pytest.fixture(scope="session", autouse=True)
def own_cache_of_plans(make_cache: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the engine `auto` measures under test is kept apart from the user's, and from an earlier session's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAREFY_CACHE", str(make_cache(tmp_path_factory.mktemp("cache"))))
        yield


@pytest.fixture(scope="session")
def select_options() -> Callable[..., dict[str, Any]]:
    """``select_options(name, **options)``: the options that the topology of that name has."""
    from rarefy.topology import TOPOLOGIES  # only here: torch takes long to import

    def select(name: str, **options: Any) -> dict[str, Any]:
        known = inspect.signature(TOPOLOGIES.get(name)).parameters
        return {option: value for option, value in options.items() if option in known}

    return select


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, named by the environment variable RAREFY_DATA."""
    folder = os.environ.get("RAREFY_DATA")
    if not folder:
        pytest.skip("needs the real data sets: set RAREFY_DATA to the folder that holds cifar-10-batches-py")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_run() -> dict[str, Any]:
    """A config's values, as a sweep's ``base``, of which a run takes a fraction of a second."""
    return {
        "data": {"name": "synthetic", "height": 4, "width": 4, "classes": 3, "train": 32, "validation": 16, "test": 16},
        "model": "mlp_8",
        "epochs": 2,
        "batch_size": 16,
        "device": "cpu",
        "engine": "masked",
        "sparse": True,
        "fix": True,
    }


@pytest.fixture(scope="session")
def on_ranks() -> Callable[[int, Callable[[Any], Any]], list[Any]]:
    """``on_ranks(2, act)``: what ``act(world)`` gives on each of two forks of this process, joined by gloo.

    Each has one thread; an error on a rank is what is given there.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_gloo_available() and hasattr(os, "fork")):
        pytest.skip("needs gloo and fork")
    return _on_ranks


def _on_ranks(ranks: int, act: Callable[[Any], Any]) -> list[Any]:
    """What each rank's call gives, in the order of ranks; an error on a rank is what is given there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        children = [_forked(rank, ranks, act, folder) for rank in range(ranks)]
        for child in children:
            os.waitpid(child, 0)
        return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(ranks)]


def _forked(rank: int, ranks: int, act: Callable[[Any], Any], folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    import torch
    import torch.distributed as dist

    from rarefy.distributed import World

    try:  # os._exit: gloo's threads can outlive the interpreter's end, and abort the process there
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
        try:
            found = act(World(rank, ranks))
        except Exception as error:
            found = error
        (folder / f"{rank}.pickle").write_bytes(pickle.dumps(found))
        dist.barrier()
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        os._exit(1)
    os._exit(0)
