"""Makes the groups of a report from settings and finished runs, with names for people."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.analysis._finished import NEVER_MOVED
from rarefy.analysis._groups import SPARSITY_SETTINGS, Group, disambiguate_names, is_dense
from rarefy.analysis._measured import list_default_metrics, matches_metric, read_metrics
from rarefy.reports import RunGroup, SeedSummary, read_sizes, title_data, title_family, title_method, title_model
from rarefy.statistics import summarize

_LR = "training.lr"


def show_path(path: Path, parts: int) -> str:
    """Formats a path for a page: relative to the working folder, or only its last parts."""
    if not path.is_absolute():
        return str(path)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-parts:]))


def make_groups(all_settings: Sequence[Mapping[str, Any]]) -> list[RunGroup]:
    """Makes the group of each of some settings, without runs."""
    elsewhere = ("model.", *SPARSITY_SETTINGS)
    models = title_models([settings["model.name"] for settings in all_settings])
    places = _label_places(all_settings, elsewhere)
    across_rates = _label_places(all_settings, (*elsewhere, _LR))
    methods = _label_settings(
        all_settings, _name_method, lambda path: path.startswith(SPARSITY_SETTINGS) and path != "density"
    )
    cells = []
    for settings, where, across, method in zip(all_settings, places, across_rates, methods, strict=True):
        model, dense = settings["model.name"], is_dense(settings)
        names = {name: settings[f"{name}.name"] for name in ("data", "allocation", "topology")}
        moved = not settings["topology.name"].endswith(NEVER_MOVED)
        sizes = read_sizes(model)
        if sizes:
            sizes["family"] = title_family(sizes["family"])
        values = {"density": 1.0 if dense else settings["density"], "dense": dense, **names, **sizes}
        values |= {"lr": settings.get(_LR), "across_rates": f"{models[model]} on {across}"}
        network = f"{models[model]} on {where}"
        cells.append(RunGroup("", network, method, model=model, where=where, moved=moved, **values))
    return cells


def name_groups(groups: Sequence[Group]) -> list[str]:
    """Names groups for people: method and density, and the network where there are several: ``ERK 10%``."""
    made = make_groups([group.settings for group in groups])
    several = len({one.network for one in made}) > 1
    names = [one.method if one.dense else f"{one.method} {100 * one.density:.3g}%" for one in made]
    return [f"{name}, {one.network}" if several else name for name, one in zip(names, made, strict=True)]


def title_models(names: Sequence[str]) -> dict[str, str]:
    """Maps each model's name to its title; models of one title have their name behind it."""
    titles = {name: title_model(name) for name in names}
    counts = Counter(titles.values())
    return {name: title if counts[title] == 1 else f"{title} ({name})" for name, title in titles.items()}


def _name_method(settings: Mapping[str, Any]) -> str:
    return title_method(settings["allocation.name"], settings["topology.name"])


def _label_places(all_settings: Sequence[Mapping[str, Any]], ignored: tuple[str, ...]) -> list[str]:
    """Names data set and training of each run, without the settings that begin with one of some names."""
    return _label_settings(
        all_settings,
        lambda settings: title_data(str(settings["data.name"])),
        lambda path: not path.startswith(ignored),
    )


def _label_settings(
    all_settings: Sequence[Mapping[str, Any]], name: Callable[[Mapping[str, Any]], str], counts: Callable[[str], bool]
) -> list[str]:
    """Names the selected settings of each run; equal settings get the same name."""
    parts = [{path: value for path, value in settings.items() if counts(path)} for settings in all_settings]
    identities = [json.dumps(part, sort_keys=True) for part in parts]
    unique = dict(zip(identities, parts, strict=True))
    labels = dict(
        zip(unique, disambiguate_names([name(part) for part in unique.values()], list(unique.values())), strict=True)
    )
    return [labels[identity] for identity in identities]


def fill_group(cell: RunGroup, group: Group) -> RunGroup:
    """Adds runs and their numbers to a cell: the default metrics that all of its runs have."""
    metrics = [read_metrics(run) for run in group.runs]
    defaults = list_default_metrics(run.record.metrics.get("test", {}) for run in group.runs)
    names = [
        name
        for name in metrics[0]
        if any(matches_metric(name, pattern) for pattern in defaults) and all(name in numbers for numbers in metrics)
    ]
    numbers = {name: _summarize([numbers[name].value for numbers in metrics]) for name in names}
    records = tuple(run.record.model_dump(mode="json") for run in group.runs)
    folders = tuple(show_path(run.folder, 2) for run in group.runs)
    return dataclasses.replace(cell, name=group.name, records=records, folders=folders, numbers=numbers)


def _summarize(values: Sequence[float]) -> SeedSummary:
    summary = summarize(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return SeedSummary(summary.values, summary.mean, deviation, summary.interval)
