"""Runs that differ in the seed only: found, told apart by name, and matched with what they are compared with."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.analysis._finished import CompareError, Run
from rarefy.registry import key, unknown

# Where and how a run was computed changes its last bits and its speed, never what its seed is one draw of.
WHERE = (
    "device",
    "engine.",
    *(f"training.{name}" for name in ("deterministic", "compile", "channels_last", "diagnostics", "recompute")),
)
SPARSITY = ("allocation.", "density", "topology.", "scaled", "pattern")
FINGERPRINT = "data.fingerprint"
_NAMED = ("model.name", "data.name", "training.epochs")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only, and at most in where they were computed.

    Args:
        name: The shortest description that tells it from the other groups.
        runs: One a seed, by seed.
        settings: Dotted place in the config to value: all that decides results but the seed.
    """

    name: str
    runs: tuple[Run, ...]
    settings: Mapping[str, Any]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The runs' seeds."""
        return tuple(run.seed for run in self.runs)

    @property
    def dense(self) -> bool:
        """Whether nothing was ever pruned."""
        return is_dense(self.settings)

    def differs(self, other: Group) -> list[str]:
        """Places of settings in which two groups differ beyond how sparse they are."""
        places = dict.fromkeys([*self.settings, *other.settings])
        return [p for p in places if not p.startswith(SPARSITY) and _text(self.settings, p) != _text(other.settings, p)]


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Groups of runs, dense ones first.

    Where the same settings of data stand for data of several fingerprints, these part groups, too. An older record
    without one goes with any, unless there are several.

    Raises:
        CompareError: If a record's config cannot be understood.
    """
    members: dict[str, list[Run]] = collections.defaultdict(list)
    settings: dict[str, dict[str, Any]] = {}
    ambiguous = _ambiguous_data(runs)
    for run in runs:
        values = decisive(run.settings)
        if _data(values) in ambiguous:
            values[FINGERPRINT] = run.record.fingerprint or "unknown"
        identity = json.dumps(values, sort_keys=True)
        settings[identity] = values
        members[identity].append(run)
    order = sorted(settings, key=lambda identity: _rank(settings[identity]))
    names = _names([settings[identity] for identity in order])
    groups = []
    for name, identity in zip(names, order, strict=True):
        by_seed = sorted(members[identity], key=lambda run: (run.seed, run.id))
        groups.append(Group(name, tuple(by_seed), settings[identity]))
    return groups


def _ambiguous_data(runs: Sequence[Run]) -> set[str]:
    """Settings of data that stand for data of several fingerprints."""
    known: dict[str, set[str]] = collections.defaultdict(set)
    for run in runs:
        if run.record.fingerprint:
            known[_data(run.settings)].add(run.record.fingerprint)
    return {settings for settings, fingerprints in known.items() if len(fingerprints) > 1}


def _data(settings: Mapping[str, Any]) -> str:
    return json.dumps([[place, value] for place, value in sorted(settings.items()) if place.startswith("data.")])


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide a result, but for the seed."""
    return {place: value for place, value in settings.items() if not place.startswith(("seed", *WHERE))}


def is_dense(settings: Mapping[str, Any]) -> bool:
    """Whether settings say that nothing is ever pruned."""
    return key(settings["allocation.name"]) == "dense" and key(settings["topology.name"]) == "static"


def _rank(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    what = (settings["allocation.name"], -settings["density"], settings["topology.name"] != "static")
    return (not is_dense(settings), *what, json.dumps(settings, sort_keys=True))


def notes_of(groups: Sequence[Group]) -> Iterator[str]:
    """What runs said of themselves, once for each group that said it."""
    for group in groups:
        for note, count in collections.Counter(note for run in group.runs for note in run.record.notes).items():
            told = f" ({count} of {len(group.runs)} runs)" if count < len(group.runs) else ""
            yield f"{group.name}{told}: {note}"


def check_seeds(group: Group) -> None:
    """Raises CompareError if a seed is in a group twice: such runs are no independent ones."""
    for one, other in zip(group.runs, group.runs[1:], strict=False):
        if one.seed == other.seed:
            before, after = one.settings, other.settings
            places = [place for place in {**before, **after} if _text(before, place) != _text(after, place)]
            raise CompareError(
                f"{one.folder} and {other.folder} have the same seed, {one.seed}, and differ only in what changes no "
                f"result ({', '.join(places)}): they are not independent. Give one of them."
            )


def _names(all_settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """How sparse; model, data and epochs where any differ; then whatever still tells equal names apart."""
    names = [_sparsity(settings) for settings in all_settings]
    for place in _NAMED:
        if len({_text(settings, place) for settings in all_settings}) > 1:
            names = [f"{name} {_told(settings, place)}" for name, settings in zip(names, all_settings, strict=True)]
    return told_apart(names, all_settings)


def told_apart(names: Sequence[str], all_settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Equal names with the settings in which they differ behind them: ``erk lr=0.1`` and ``erk lr=0.05``.

    Args:
        names: One for each of `all_settings`.
        all_settings: Dotted place to value, no two the same.
    """
    names = list(names)
    while len(set(names)) < len(names):
        for name in [name for name, count in collections.Counter(names).items() if count > 1]:
            clash = [index for index, other in enumerate(names) if other == name]
            place = _first_difference([all_settings[index] for index in clash])
            for index in clash:
                names[index] += f" {_short(place)}={_text(all_settings[index], place)}"
    return names


def _sparsity(settings: Mapping[str, Any]) -> str:
    if is_dense(settings):
        return "dense"
    moves = "" if settings["topology.name"] == "static" else f" {settings['topology.name']}"
    return f"{settings['allocation.name']} {settings['density']:g}{moves}"


def _first_difference(several: Sequence[Mapping[str, Any]]) -> str:
    places = dict.fromkeys(place for settings in several for place in settings)
    return next(place for place in places if len({_text(settings, place) for settings in several}) > 1)


def _told(settings: Mapping[str, Any], place: str) -> str:
    value = settings[place]
    return str(value) if place != "training.epochs" else "1 epoch" if value == 1 else f"{value} epochs"


def _text(settings: Mapping[str, Any], place: str) -> str:
    value = settings.get(place, "unset")
    return value if isinstance(value, str) else json.dumps(value)


def _short(place: str) -> str:
    return place.removeprefix("training.").removesuffix(".name")


def baselines(groups: Sequence[Group], asked: str) -> dict[str, str]:
    """The baseline of each group that has one, by name; a baseline is its own.

    Args:
        groups: All groups.
        asked: A group's name, the id or folder of a run, or ``dense``: the only dense group, or, where there are
            several, for each group the one that differs from it in nothing but how sparse it is.
    Raises:
        UnknownName: If it is none of these.
        CompareError: If no group is dense, or nothing is left to compare.
    """
    dense = [group for group in groups if group.dense]
    one = [group for group in groups if _key(group.name) == _key(asked)] or [g for g in groups if _holds(g, asked)]
    if one:
        pairs = {group.name: one[0].name for group in groups}
    elif key(asked) == "dense":
        pairs = _like_with_like(groups, dense)
    else:
        raise unknown("baseline", asked, ["dense", *(group.name for group in groups)])
    if all(name == baseline for name, baseline in pairs.items()):
        raise CompareError(
            f"There is nothing to compare: the groups are {', '.join(group.name for group in groups)}. It takes runs "
            "of the baseline and others, for `dense` of the same data, model and training."
        )
    return pairs


def _key(name: str) -> str:
    """``erk-0.1`` is ``ERK 0.1``: a shell likes names without spaces."""
    return key(name.replace(" ", ""))


def _holds(group: Group, asked: str) -> bool:
    path = Path(asked)
    return any(path.name == run.id or path.resolve() == run.folder.resolve() for run in group.runs)


def _like_with_like(groups: Sequence[Group], dense: Sequence[Group]) -> dict[str, str]:
    if not dense:
        raise CompareError(
            f"There is no dense group; the groups are {', '.join(group.name for group in groups)}. Add dense runs "
            "(`rarefy train` without --sparse), or name one of these: --baseline NAME"
        )
    if len(dense) == 1:
        return {group.name: dense[0].name for group in groups}
    pairs = {group.name: [other.name for other in dense if not group.differs(other)] for group in groups}
    return {name: like[0] for name, like in pairs.items() if like}
