"""Every error of the package: one base class, values as attributes, and a way through a process pool."""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing
import pickle
import pkgutil

import pytest

import rarefy
from rarefy.allocation import ALLOCATIONS
from rarefy.errors import InvalidInput, MissingFile, MissingPackage, RarefyError

BUILTIN = {
    "ConfigError": ValueError,
    "CorruptData": ValueError,
    "InfeasibleDensity": ValueError,
    "Interrupted": Exception,
    "KernelsMissing": ImportError,
    "MissingData": FileNotFoundError,
    "RankLost": ConnectionError,
    "UnknownName": ValueError,
    "UnknownOption": ValueError,
}


def exceptions() -> dict[str, type[BaseException]]:
    """Every public exception class that some module of rarefy defines."""
    found = {}
    for module in pkgutil.walk_packages(rarefy.__path__, "rarefy."):
        if module.name == "rarefy.__main__":
            continue
        for value in vars(importlib.import_module(module.name)).values():
            is_ours = isinstance(value, type) and value.__module__.startswith("rarefy.")
            if is_ours and issubclass(value, BaseException) and not value.__name__.startswith("_"):
                found[value.__qualname__] = value
    return found


ERRORS = exceptions()


def test_the_classes_are_found() -> None:
    assert len(ERRORS) > 25
    assert BUILTIN.keys() <= ERRORS.keys()


@pytest.mark.parametrize("name", ERRORS)
def test_every_exception_is_a_rarefy_error_of_the_builtin_kind_it_was(name: str) -> None:
    assert issubclass(ERRORS[name], rarefy.RarefyError)
    assert issubclass(ERRORS[name], BUILTIN.get(name, Exception))


def fail(module: str, name: str) -> None:
    error: type[RarefyError] = getattr(importlib.import_module(module), name)
    raise error("a sentence", nearest=0.25, odd=lambda: None)


def test_every_exception_comes_back_from_a_process_pool() -> None:
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for name, kind in ERRORS.items():
            caught = pool.submit(fail, kind.__module__, name).exception(timeout=120)
            assert type(caught) is kind
            assert str(caught) == "a sentence"
            assert caught.nearest == 0.25
            assert "lambda" in caught.odd


def test_a_density_that_cannot_be_leaves_the_pool_alive() -> None:
    erk = ALLOCATIONS.build("erk")
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        caught = pool.submit(rarefy.allocate, erk, {"a": (10, 10), "b": (10, 10)}, 0.001).exception(timeout=120)
        assert isinstance(caught, rarefy.RarefyError)
        assert caught.nearest == 0.01
        assert pool.submit(rarefy.allocate, erk, {"a": (10, 10)}, 0.1).result(timeout=120) == {"a": 10}


@pytest.mark.parametrize("kind", [InvalidInput, MissingFile, MissingPackage])
def test_the_message_is_the_text_whatever_the_builtin_base_makes_of_it(kind: type[RarefyError]) -> None:
    for error in (kind("a 'sentence'"), pickle.loads(pickle.dumps(kind("a 'sentence'")))):
        assert str(error) == "a 'sentence'"
        assert error.args == ("a 'sentence'",)


def test_a_note_travels_with_the_error() -> None:
    error = InvalidInput("no", name="k", value=0)
    error.add_note("on rank 1")
    again = pickle.loads(pickle.dumps(error))
    assert (again.name, again.value, again.__notes__) == ("k", 0, ["on rank 1"])
