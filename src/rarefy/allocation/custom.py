"""Densities given by hand."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from pathlib import Path

from rarefy.allocation._allocate import ALLOCATIONS
from rarefy.allocation._budget import (
    TOLERANCE,
    InfeasibleDensity,
    Shapes,
    count_weights,
    find_shortest_density,
    share_budget,
)
from rarefy.allocation._glob import matches_glob
from rarefy.documents import read_yaml
from rarefy.errors import InvalidInput, MissingFile


@ALLOCATIONS.register("custom")
@dataclasses.dataclass(frozen=True)
class Custom:
    """Densities by glob; layers that no glob matches share the rest of the budget uniformly.

    A glob is matched against the layer's name with and without its ``.weight`` (``layer1.*``, ``fc``, ``*.conv?``). The
    first glob that matches a layer decides. If globs match every layer, their densities have to add up to the budget.

    Args:
        densities: Glob to density in (0, 1], or the path of a YAML file that holds such a mapping (read at once).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the mapping is empty, or a density is not in (0, 1].

    Example:
        >>> rule = Custom({"fc": 1.0, "stem*": 0.5})
        >>> rule({"stem.weight": (2, 4), "body.weight": (8, 4), "fc.weight": (2, 4)}, 0.5)
        {'stem.weight': 0.5, 'body.weight': 0.375, 'fc.weight': 1.0}
    """

    densities: dict[str, float] | str

    def __post_init__(self) -> None:
        """Reads the file, so that two files of one content are one rule, and checks the densities."""
        densities = _read_densities(Path(self.densities)) if isinstance(self.densities, str | Path) else self.densities
        if not isinstance(densities, Mapping) or not densities:
            raise InvalidInput(
                f"Custom densities are a mapping such as {{'fc': 1.0, '*': 0.1}}; got {densities!r}.",
                name="densities",
                value=densities,
            )
        for pattern, value in densities.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value <= 1:
                raise InvalidInput(f"The density of {pattern!r} has to be a number in (0, 1]; got {value!r}.")
        object.__setattr__(self, "densities", {str(pattern): float(value) for pattern, value in densities.items()})

    def __call__(self, shapes: Shapes, density: float) -> dict[str, float]:
        """Density of each layer.

        Raises:
            InfeasibleDensity: If the named layers do not fit the budget.
            ValueError: If a glob decides no layer.
        """
        chosen = self._choose_densities(shapes)
        sizes = count_weights(shapes)
        if len(chosen) == len(shapes):
            return _check_cover(chosen, sizes, density)
        fixed = {name: max(1, round(value * sizes[name])) for name, value in chosen.items()}
        return share_budget(shapes, density, sizes, lambda budget: fixed)

    def _choose_densities(self, shapes: Shapes) -> dict[str, float]:
        chosen: dict[str, float] = {}
        for pattern, value in typing.cast(dict[str, float], self.densities).items():
            matched = [name for name in shapes if matches_glob(name, pattern)]
            if not matched:
                raise InvalidInput(f"The pattern {pattern!r} matches no layer. Layers: {', '.join(shapes)}.")
            decided = [name for name in matched if name not in chosen]
            if not decided:
                raise InvalidInput(f"The pattern {pattern!r} decides nothing: earlier ones match its layers {matched}.")
            chosen |= dict.fromkeys(decided, value)
        return {name: chosen[name] for name in shapes if name in chosen}


def _read_densities(path: Path) -> object:
    if not path.is_file():
        raise MissingFile(f"There is no file {path} to read custom densities from (looked in {Path.cwd()}).")
    return read_yaml(path)


def _check_cover(chosen: dict[str, float], sizes: Mapping[str, int], density: float) -> dict[str, float]:
    total = sum(sizes.values())
    kept = math.fsum(value * sizes[name] for name, value in chosen.items())
    if abs(kept - round(density * total)) > TOLERANCE:
        implied = find_shortest_density(max(1, round(kept)), total)
        raise InfeasibleDensity(
            f"The custom densities name every layer and add up to density {implied}, not {density}. "
            f"Ask for density {implied}, or leave a layer out to take up the difference.",
            nearest=implied,
        )
    return chosen
