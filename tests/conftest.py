"""What every test shares: hypothesis without deadlines, tests that need a GPU, and the place of the real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

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


@pytest.fixture(scope="session", autouse=True)
def own_cache_of_plans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the engine `auto` measures under test is kept apart from the user's, and from an earlier session's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAREFY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, named by the environment variable RAREFY_DATA."""
    folder = os.environ.get("RAREFY_DATA")
    if not folder:
        pytest.skip("needs the real data sets: set RAREFY_DATA to the folder that holds cifar-10-batches-py")
    return Path(folder)
