"""Tries hostile files on every loader of data, each in a process of its own with bounded memory and time.

    python tests/robustness/hostile_data.py [--sample N] [--seed S] [--show]

prints, as JSON, how many cases were tried and what is wrong with those that failed. A case holds if the loader raises a
`RarefyError` that names the file, or gives as many images with as many classes as before, or says what it left out; and
if meanwhile it took less than 800 MB and 20 s, ran nothing, and reads the good file again afterwards.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from cases_data import Case, all_cases, make_folders, make_npz, make_others, make_parquet, make_shards
from files_data import MARK, md5

import rarefy
from rarefy import data
from rarefy.data import DATASETS, Spec, load
from rarefy.evaluation.ood import load_ood

_MEGABYTES, _SECONDS = 800, 20
_PATIENCE = int(
    os.environ.get("HOSTILE_PATIENCE", "60")
)  # seconds until what neither ends nor computes is said to hang
_ADDRESSES = 6 << 30
_SPEC = Spec("dots", classes=2, channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.5,) * 3)
_ARCHIVES = ("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")
_ERROR = getattr(rarefy, "RarefyError", (data.CorruptData, data.MissingData))  # older ones had no common class


def make_archive(folder: Path, loader: str) -> None:
    """Files where the official ones lie; none is official."""
    source = _source(loader)
    for name in source.md5:
        path = folder / source.folders[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"official " + name.encode())
    table = {name: md5(b"official " + name.encode()) for name in source.md5}
    object.__setattr__(source, "md5", table)


def _source(loader: str) -> Any:
    dataset: Any = DATASETS.get(loader)
    return dataset.source


def make(case: Case, folder: Path) -> None:
    makers: dict[str, Callable[[Path, str], None]] = {
        "folders": make_folders, "shards": make_shards, "kept": make_shards,
        "parquet": make_parquet, "others": make_others, "npz": make_npz,
    }  # fmt: skip
    if case.loader in makers:
        makers[case.loader](folder, case.kind)
    else:
        make_archive(folder, case.loader)


def read(case: Case, folder: Path) -> list[Any]:
    """What the loader makes of the data set: how many images of which classes, and what was left out."""
    if case.loader in ("others", "npz"):
        split = load_ood(str(folder / ("others" if case.loader == "others" else "a.npz")), folder, _SPEC)
        return [len(split)]
    if case.loader in _ARCHIVES:  # what is parsed is always official
        source = _source(case.loader)
        return [len(source.read(source.find(folder), name)) for name in source.md5]
    splits = load(DATASETS.build("imagenet", resolution=8, valid_split=0.3), folder, torch.Generator(), workers=0)
    for split in (splits.train, splits.validation, splits.test):
        split.select(torch.arange(len(split)))
    str(splits.train.fingerprint)
    said = data.describe_splits(splits)[1:] if hasattr(data, "describe_splits") else []
    json.dumps([splits.spec.class_names, said], ensure_ascii=False).encode()
    return [len(splits.train), len(splits.validation), len(splits.test), splits.spec.classes, said]


class _Said(logging.Handler):
    """Remembers what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def observe(case: Case, folder: Path) -> dict[str, Any]:
    """What came of a loader, in this process, which ends afterwards."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said = _Said()
    logging.getLogger("rarefy").addHandler(said)
    before, started = _resident(), time.process_time()  # not the clock: the machine may be busy
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = {"gave": read(case, folder), "logged": said.lines}
    except BaseException as error:
        found = {"error": type(error).__name__, "plain": isinstance(error, _ERROR), "message": _text(error)}
    found |= {"seconds": time.process_time() - started}
    return found | {"megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) / 1e6 - before}


def _text(error: BaseException) -> str:
    text = str(error)
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"cannot be printed: {text!r}"
    return text


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def in_child(act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a fork of this process found; an error if it was killed or hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            os.write(writing, json.dumps(act()).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(writing)
    content = b""
    while select.select([reading], [], [], _PATIENCE)[0]:
        part = os.read(reading, 1 << 16)
        content += part
        if not part:
            break
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    return json.loads(content) if content else {"died": os.waitstatus_to_exitcode(status)}


def fault(case: Case, good: dict[str, Any], found: dict[str, Any], again: dict[str, Any]) -> str:
    """What is wrong with what a case came to; nothing if it holds."""
    if "died" in found:
        return f"hangs or dies ({found['died']})"
    if found["megabytes"] > _MEGABYTES:
        return f"takes {found['megabytes']:.0f} MB"
    if found["seconds"] > _SECONDS:
        return f"takes {found['seconds']:.0f} s"
    if again and again.get("gave") != good["gave"]:
        return f"the good file is no longer read: {again}"
    if "error" in found:
        names = (Path(case.file).name, "0.tar" if case.file == "classes.txt" else Path(case.file).name)
        named = case.loader == "folders" or any(name in found["message"] for name in names)
        plain = found["plain"] and named and "cannot be printed" not in found["message"] and case.loader != "kept"
        return "" if plain else f"{found['error']}: {found['message'][:200]}"
    if case.must_fail:
        return f"passes: {found['gave']}"
    *counts, said = found["gave"] if len(found["gave"]) == 5 else [*found["gave"], found["logged"]]
    expected = good["gave"][: len(counts)]
    if case.name == "folder" and case.loader in ("folders", "others"):
        return ""  # the picture is gone; an empty folder in its place is nothing
    more = "neighbour" in case.name or case.name in ("deep folders", "a loop of links")
    return (
        "" if counts == expected or said or (more and sum(counts) > sum(expected)) else f"passes in silence: {counts}"
    )


def attempt(case: Case, folder: Path, mark: Path, known: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Makes the good data set, harms it, reads it, and puts it right again."""
    os.environ["RAREFY_CACHE"] = str(folder / "cache")
    make(case, folder)
    has_state = case.loader in ("shards", "kept")  # in the cache folder
    if has_state or (case.loader, case.kind) not in known:
        known[case.loader, case.kind] = in_child(lambda: observe(case, folder))
    good = known[case.loader, case.kind]
    path = next(iter(folder.glob(case.file)), folder / case.file)
    kept = path.read_bytes() if path.exists() else None
    case.harm(path)
    found = in_child(lambda: observe(case, folder))
    again = {}
    if has_state:
        _repair(case, folder, path, kept)
        again = in_child(lambda: observe(case, folder))
    return "something was executed" if mark.exists() else fault(case, good, found, again)


def _repair(case: Case, folder: Path, path: Path, kept: bytes | None) -> None:
    """The data set as it was; what is in the cache stays as the hostile file left it."""
    for entry in folder.iterdir():
        if entry.name != "cache":
            remove(entry)
    if case.loader == "kept" and kept is not None:
        remove(path)
        path.write_bytes(kept)
    make(case, folder)


def remove(place: Path) -> None:
    """Removes whatever lies there, however deep: `shutil.rmtree` recurses."""
    if place.is_dir() and not place.is_symlink():
        for root, folders, files in reversed([*_walk(place)]):
            for name in [*files, *(f for f in folders if Path(root, f).is_symlink())]:
                Path(root, name).unlink()
            Path(root).rmdir()
    elif place.is_symlink() or place.exists():
        place.unlink()


def _walk(place: Path) -> list[tuple[str, list[str], list[str]]]:
    found, waiting = [], [os.fspath(place)]
    while waiting:
        here = waiting.pop()
        entries = list(os.scandir(here))
        below = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        found.append((here, below, [e.name for e in entries if not e.is_dir(follow_symlinks=False)]))
        waiting += [f"{here}/{name}" for name in below]
    return found


def run(sample: int | None, seed: int, *, show: bool = False) -> dict[str, Any]:
    """Tries the cases, or so many of them."""
    logging.getLogger("rarefy").propagate = False
    failures: dict[str, str] = {}
    known: dict[tuple[str, str], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        place = Path(name)
        programs = place / "programs"
        programs.mkdir()
        mark = place / MARK
        (programs / "gs").write_text(f"#!/bin/sh\ntouch {mark}\n")
        (programs / "gs").chmod(0o755)
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        cases = all_cases(mark, seed)
        if sample is not None:
            cases = random.Random(seed).sample(cases, min(sample, len(cases)))
        for number, case in enumerate(cases):
            folder = place / str(number)
            folder.mkdir()
            why = attempt(case, folder, mark, known)
            mark.unlink(missing_ok=True)
            remove(folder)
            if why:
                failures[f"{number} {case.id}"] = why
                if show:
                    print(case.id, "->", why, file=sys.stderr, flush=True)
    kinds = Counter(case.loader for case in cases)
    return {"cases": len(cases), "by loader": dict(kinds), "failed": len(failures), "failures": failures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(run(options.sample, options.seed, show=options.show), indent=1))


if __name__ == "__main__":
    main()
