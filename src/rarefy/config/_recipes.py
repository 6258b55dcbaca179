"""Recipes: settings that belong together, each a YAML file of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rarefy.config._model import read_settings
from rarefy.registry import list_file_names, make_unknown_error, normalize_name

_ROOM = "config/recipes"


def load_recipe(name: str, *, sparse: bool) -> dict[str, Any]:
    """The settings of a recipe, plain and nested: those for all models, and those for dense or for sparse ones.

    Args:
        name: Its name, in any spelling.
        sparse: Which of the two.

    Returns:
        ``{"settings": ..., "sparsity": ...}``: mappings such as a settings file holds.

    Raises:
        UnknownName: If there is no such recipe.

    Example:
        >>> load_recipe("imagenet-paper", sparse=True)["sparsity"]["training"]["epochs"]
        100
    """
    known = {normalize_name(stem): stem for stem in list_file_names(_ROOM)}
    if normalize_name(name) not in known:
        raise make_unknown_error("recipe", name, known.values())
    result = read_settings(Path(__file__).parent / "recipes" / f"{known[normalize_name(name)]}.yaml")
    return {"settings": result["settings"], "sparsity": result.get("sparse" if sparse else "dense", {})}
