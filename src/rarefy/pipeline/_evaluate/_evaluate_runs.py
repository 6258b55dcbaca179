"""Evaluates runs one after the other; every part lands in the record as soon as it is known."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy import records
from rarefy.evaluation.ood import require_source
from rarefy.pipeline._evaluate._parts import Part, Shared, parts_of
from rarefy.pipeline._evaluate._request import EvaluationOptions
from rarefy.pipeline._evaluate._subject import Subject
from rarefy.pipeline._folder import LOG, RunError, claimed, logging_to
from rarefy.reports import Evaluated, render_evaluation

_OFF = 0.002  # an accuracy may differ by so much from the recorded one: another machine rounds otherwise


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far an evaluation is.

    Args:
        run: Id of the run at hand.
        part: What is computed.
        share: Of all parts of all runs, in [0, 1].
        seconds: What the part took, once it is done; 0 for one that was there already; None while it is computed.

    Example:
        >>> Progress("3f2a", "ood svhn", 0.5, None).seconds is None
        True
    """

    run: str
    part: str
    share: float
    seconds: float | None


def evaluate_runs(
    folders: Sequence[Path],
    request: EvaluationOptions,
    *,
    data_dir: Path = Path("data"),
    workers: int | None = None,
    device: str | None = None,
    again: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> list[records.Record]:
    """Evaluates finished runs, writes what is found into their records and makes a page of each.

    Parts that a record holds already, computed with the same options, are left as they are, so that an evaluation that
    was interrupted goes on where it was.

    Args:
        folders: Folders of runs.
        request: What to compute.
        data_dir: Where data sets are looked for.
        workers: Processes that decode images, for data that are not in memory; None: as `rarefy.data.load` chooses.
        device: Where to compute; None: where each run was trained.
        again: Compute everything anew.
        progress: Told how far it is.

    Returns:
        The records, as they are on the disk now.

    Raises:
        RunError: If another process holds a run, or a folder's model is not the one of its record.
        ValueError: If a record, a data set or a method cannot be used.

    Example:
        >>> evaluate_runs([], EvaluationOptions())
        []
    """
    for source in request.ood:
        require_source(source, data_dir)
    # All of them first: whatever is missing is said before anything is computed.
    subjects = [Subject(folder, data_dir, device, workers) for folder in folders]
    shared = Shared(keep=len(subjects) > 1)
    parts = parts_of(request, shared)
    done = []
    for number, subject in enumerate(subjects):
        with claimed(subject.paths), logging_to(subject.paths.log):
            teller = _Teller(subject.record.id, number * len(parts), len(subjects) * len(parts), progress)
            record = _evaluate(subject, parts, again=again, teller=teller)
            render_evaluation([_evaluated(subject, record)], subject.paths.evaluation)
        done.append(record)
        subjects[number] = None  # type: ignore[call-overload]  # its images and its network may go
    return done


def _evaluated(subject: Subject, record: records.Record) -> Evaluated:
    return Evaluated(record.model_dump(mode="json"), subject.paths.folder, record.id)


class _Teller:
    """Turns shares of parts into shares of everything."""

    def __init__(self, run: str, before: int, of: int, progress: Callable[[Progress], None]) -> None:
        self._run, self._before, self._of, self._progress = run, before, of, progress

    def tell(self, part: Part, number: int, share: float, seconds: float | None = None) -> None:
        self._progress(Progress(self._run, part.name, (self._before + number + share) / self._of, seconds))


def _evaluate(subject: Subject, parts: Sequence[Part], *, again: bool, teller: _Teller) -> records.Record:
    """Computes what is missing; the record on the disk is whole after every part."""
    record = records.read(subject.paths.record)  # now that it is ours: another evaluation may just have ended
    for number, part in enumerate(parts):
        options = _plain(part.options)
        test = copy.deepcopy(record.metrics["test"])
        known = test.setdefault("evaluated", {})
        if not again and known.get(part.name, {}).get("options") == options:
            teller.tell(part, number, 1.0, 0.0)
            continue
        teller.tell(part, number, 0.0)
        started = time.perf_counter()
        found = part.compute(subject, lambda share, part=part, number=number: teller.tell(part, number, share))  # type: ignore[misc]
        seconds = time.perf_counter() - started
        _put(test, part.place, _plain(_checked(found, test, subject)))
        known[part.name] = {"options": options, "seconds": round(seconds, 3)}
        record = record.model_copy(update={"metrics": {**record.metrics, "test": test}})
        records.write(record, subject.paths.record)
        LOG.info("evaluated %s in %.1f s", part.name, seconds)
        teller.tell(part, number, 1.0, seconds)
    return record


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the record gives them back: tuples are lists, names are text."""
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def _put(test: dict[str, Any], place: tuple[str, ...], found: dict[str, Any]) -> None:
    """Puts what was found at its place; what training wrote is left as it is."""
    for name in place[:-1]:
        test = test.setdefault(name, {})
    if place:
        test[place[-1]] = found
    else:
        test.update({name: value for name, value in found.items() if name not in ("accuracy", "loss")})


def _checked(found: dict[str, Any], test: Mapping[str, Any], subject: Subject) -> dict[str, Any]:
    """Of accuracies: a model that scores otherwise than its record says is not the record's."""
    off = abs(found["accuracy"] - test["accuracy"]) if "accuracy" in found else 0.0
    if off > _OFF:
        raise RunError(
            f"{subject.paths.model} scores {found['accuracy']:.4f} on the test split, its record says "
            f"{test['accuracy']:.4f}: the model or the data are not those of the run. Is --data-dir right?"
        )
    return found
