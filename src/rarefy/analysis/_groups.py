"""Groups runs that differ only in their seed, names the groups and matches each with its baseline."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.analysis._finished import CompareError, FinishedRun
from rarefy.registry import make_unknown_error, normalize_name

# Settings of how a run is computed change rounding and speed, not the distribution that its seed is drawn from.
COMPUTE_SETTINGS = (
    "device",
    "engine.",
    *(f"training.{name}" for name in ("deterministic", "compile", "channels_last", "diagnostics", "recompute")),
)
SPARSITY_SETTINGS = ("allocation.", "density", "topology.", "scaling.", "pattern", "connect", "initialiser.")
FINGERPRINT = "data.fingerprint"
_NAMED = ("model.name", "data.name", "training.epochs")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, and at most in how they were computed.

    Args:
        name: The shortest description that distinguishes it from the other groups.
        runs: One run per seed, ordered by seed.
        settings: Values by dotted name: all settings that determine results, without the seed.
    """

    name: str
    runs: tuple[FinishedRun, ...]
    settings: Mapping[str, Any]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(run.seed for run in self.runs)

    @property
    def dense(self) -> bool:
        """Whether the runs are dense."""
        return is_dense(self.settings)

    def differs(self, other: Group) -> list[str]:
        """Names of the settings, other than those of sparsity, in which two groups differ."""
        names = dict.fromkeys([*self.settings, *other.settings])
        return [
            name
            for name in names
            if not name.startswith(SPARSITY_SETTINGS)
            and _format_setting(self.settings, name) != _format_setting(other.settings, name)
        ]


def group_runs(runs: Sequence[FinishedRun]) -> list[Group]:
    """Groups runs, dense groups first.

    Runs whose data settings are equal but whose data fingerprints differ are in different groups. Older records without
    a fingerprint join the group of their settings, unless there are several.

    Raises:
        CompareError: If the config in a record is invalid.
    """
    members: dict[str, list[FinishedRun]] = collections.defaultdict(list)
    settings: dict[str, dict[str, Any]] = {}
    ambiguous = _find_ambiguous_data(runs)
    for run in runs:
        values = select_deciding_settings(run.settings)
        if _data_identity(values) in ambiguous:
            values[FINGERPRINT] = run.record.fingerprint or "unknown"
        identity = json.dumps(values, sort_keys=True)
        settings[identity] = values
        members[identity].append(run)
    order = sorted(settings, key=lambda identity: _sort_key(settings[identity]))
    names = _name_groups([settings[identity] for identity in order])
    groups = []
    for name, identity in zip(names, order, strict=True):
        by_seed = sorted(members[identity], key=lambda run: (run.seed, run.id))
        groups.append(Group(name, tuple(by_seed), settings[identity]))
    return groups


def _find_ambiguous_data(runs: Sequence[FinishedRun]) -> set[str]:
    """Finds data settings that occur with several fingerprints."""
    known: dict[str, set[str]] = collections.defaultdict(set)
    for run in runs:
        if run.record.fingerprint:
            known[_data_identity(run.settings)].add(run.record.fingerprint)
    return {settings for settings, fingerprints in known.items() if len(fingerprints) > 1}


def _data_identity(settings: Mapping[str, Any]) -> str:
    return json.dumps([[setting, value] for setting, value in sorted(settings.items()) if setting.startswith("data.")])


def select_deciding_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the settings that determine a result, without the seed."""
    return {name: value for name, value in settings.items() if not name.startswith(("seed", *COMPUTE_SETTINGS))}


def is_dense(settings: Mapping[str, Any]) -> bool:
    """Whether these are the settings of a dense run."""
    names = normalize_name(settings["allocation.name"]), normalize_name(settings["topology.name"])
    return names == ("dense", "static")


def _sort_key(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    what = (settings["allocation.name"], -settings["density"], settings["topology.name"] != "static")
    return (not is_dense(settings), *what, json.dumps(settings, sort_keys=True))


def collect_notes(groups: Sequence[Group]) -> Iterator[str]:
    """Yields the notes of runs, once per group."""
    for group in groups:
        for note, count in collections.Counter(note for run in group.runs for note in run.record.notes).items():
            share = f" ({count} of {len(group.runs)} runs)" if count < len(group.runs) else ""
            yield f"{group.name}{share}: {note}"


def check_seeds(group: Group) -> None:
    """Raises CompareError if a group has two runs with the same seed, which are not independent."""
    for one, other in zip(group.runs, group.runs[1:], strict=False):
        if one.seed == other.seed:
            before, after = one.settings, other.settings
            names = [n for n in {**before, **after} if _format_setting(before, n) != _format_setting(after, n)]
            raise CompareError(
                f"{one.folder} and {other.folder} have the same seed, {one.seed}, and differ only in what changes no "
                f"result ({', '.join(names)}): they are not independent. Give one of them."
            )


def _name_groups(all_settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names groups by sparsity; by model, data and epochs where they differ; then by what distinguishes equal names."""
    names = [_describe_sparsity(settings) for settings in all_settings]
    for setting in _NAMED:
        if len({_format_setting(settings, setting) for settings in all_settings}) > 1:
            names = [
                f"{name} {_describe_setting(settings, setting)}"
                for name, settings in zip(names, all_settings, strict=True)
            ]
    return disambiguate_names(names, all_settings)


def disambiguate_names(names: Sequence[str], all_settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Appends to equal names the settings in which they differ: ``erk lr=0.1`` and ``erk lr=0.05``.

    Args:
        names: One name for each of `all_settings`.
        all_settings: Values by dotted name, all different.
    """
    names = list(names)
    while len(set(names)) < len(names):
        for name in [name for name, count in collections.Counter(names).items() if count > 1]:
            clash = [index for index, other in enumerate(names) if other == name]
            setting = _find_difference([all_settings[index] for index in clash])
            for index in clash:
                names[index] += f" {_shorten(setting)}={_format_setting(all_settings[index], setting)}"
    return names


def _describe_sparsity(settings: Mapping[str, Any]) -> str:
    if is_dense(settings):
        return "dense"
    moves = "" if settings["topology.name"] == "static" else f" {settings['topology.name']}"
    return f"{settings['allocation.name']} {settings['density']:g}{moves}"


def _find_difference(several: Sequence[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(setting for settings in several for setting in settings)
    return next(setting for setting in names if len({_format_setting(settings, setting) for settings in several}) > 1)


def _describe_setting(settings: Mapping[str, Any], setting: str) -> str:
    value = settings[setting]
    return str(value) if setting != "training.epochs" else "1 epoch" if value == 1 else f"{value} epochs"


def _format_setting(settings: Mapping[str, Any], setting: str) -> str:
    value = settings.get(setting, "unset")
    return value if isinstance(value, str) else json.dumps(value)


def _shorten(setting: str) -> str:
    return setting.removeprefix("training.").removesuffix(".name")


def match_baselines(groups: Sequence[Group], baseline: str) -> dict[str, str]:
    """Maps each group that has a baseline to the name of it; a baseline maps to itself.

    Args:
        groups: All groups.
        baseline: A group's name, the id or folder of a run, or ``dense``: the only dense group or, if there are
            several, for each group the dense one that differs from it only in sparsity.
    Raises:
        UnknownName: If there is no such baseline.
        CompareError: If no group is dense, or there is nothing to compare.
    """
    dense = [group for group in groups if group.dense]
    named = [group for group in groups if _normalize_name(group.name) == _normalize_name(baseline)]
    if named := named or [group for group in groups if _contains(group, baseline)]:
        pairs = {group.name: named[0].name for group in groups}
    elif normalize_name(baseline) == "dense":
        pairs = _match_dense_groups(groups, dense)
    else:
        raise make_unknown_error("baseline", baseline, ["dense", *(group.name for group in groups)])
    if all(name == base for name, base in pairs.items()):
        raise CompareError(
            f"There is nothing to compare: the groups are {', '.join(group.name for group in groups)}. It takes runs "
            "of the baseline and others, for `dense` of the same data, model and training."
        )
    return pairs


def _normalize_name(name: str) -> str:
    """Normalizes a group's name: ``erk-0.1`` means ``ERK 0.1``, without the need for quotes in a shell."""
    return normalize_name(name.replace(" ", ""))


def _contains(group: Group, run_or_folder: str) -> bool:
    path = Path(run_or_folder)
    return any(path.name == run.id or path.resolve() == run.folder.resolve() for run in group.runs)


def _match_dense_groups(groups: Sequence[Group], dense: Sequence[Group]) -> dict[str, str]:
    if not dense:
        raise CompareError(
            f"There is no dense group; the groups are {', '.join(group.name for group in groups)}. Add dense runs "
            "(`rarefy train` without --sparse), or name one of these: --baseline NAME"
        )
    if len(dense) == 1:
        return {group.name: dense[0].name for group in groups}
    matches = {group.name: [other.name for other in dense if not group.differs(other)] for group in groups}
    return {name: names[0] for name, names in matches.items() if names}
