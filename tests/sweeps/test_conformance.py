"""What every executor promises."""

from __future__ import annotations

import importlib.util

import pytest

from rarefy.registry import UnknownOption
from rarefy.sweeps import EXECUTORS, SweepError, sweep

LIBRARIES = {"ray": "ray", "slurm": "submitit"}
TRIED_BY = {"slurm": {"cluster": "debug"}}
NAMES = EXECUTORS.names()

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


def needs(name):
    return LIBRARIES.get(name) and importlib.util.find_spec(LIBRARIES[name]) is None


def built(name, **options):
    if needs(name):
        pytest.skip(f"{LIBRARIES[name]} is not installed: pip install rarefy[{name}]")
    return EXECUTORS.build(name, **TRIED_BY.get(name, {}), **options)


def test_all_are_there():
    assert {"local", "ray", "slurm"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_workers_and_threads_are_options_and_checked(name):
    executor = EXECUTORS.build(name, workers=3, threads=2)
    assert (executor.workers, executor.threads) == (3, 2)
    assert isinstance(executor.is_remote, bool)
    for option in ("workers", "threads"):
        with pytest.raises(UnknownOption, match="at least 1"):
            EXECUTORS.build(name, **{option: 0})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "ray" else []) for name in NAMES]
)
def test_a_good_run_is_done_and_a_bad_one_is_a_failure_with_its_words(name, runs, tmp_path):
    good, bad = runs(2)
    values = bad.config.model_dump() | {"data": {"name": "mnist"}}
    object.__setattr__(bad, "config", type(bad.config).from_values(values))
    found = sweep([good, bad], built(name, workers=1, threads=1), out=tmp_path / "runs", data_dir=tmp_path)
    assert [status.state.value for status in found] == ["done", "failed"]
    assert str(tmp_path) in found[1].message, "mnist is not there, and it says where it looked"
    assert (tmp_path / "runs" / bad.id / "failure.txt").is_file()


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_without_its_library_it_says_what_to_install(name, monkeypatch):
    def absent(module):
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(SweepError, match=rf"pip install .*\[{name}\]"), EXECUTORS.build(name)(1):
        pass
