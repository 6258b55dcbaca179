"""Densities written by hand: patterns, files, budgets that fit or do not."""

from __future__ import annotations

import re

import pytest

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity, allocate
from rarefy.registry import UnknownOption

SHAPES = {"stem.weight": (10,), "a.conv.weight": (20,), "b.conv.weight": (30,), "fc.weight": (40,)}


def custom(densities):
    return ALLOCATIONS.build("custom", densities=densities)


def test_named_layers_get_theirs_and_the_others_share_the_rest_uniformly() -> None:
    # 50 - 40 - 5 = 5 for 50 weights.
    counts = allocate(custom({"fc": 1.0, "stem.weight": 0.5}), SHAPES, 0.5)
    assert counts == {"stem.weight": 5, "a.conv.weight": 2, "b.conv.weight": 3, "fc.weight": 40}


def test_the_first_pattern_that_matches_decides() -> None:
    counts = allocate(custom({"a.*": 1.0, "*.conv": 0.1}), SHAPES, 0.5)
    assert counts["a.conv.weight"] == 20
    assert counts["b.conv.weight"] == 3


def test_a_yaml_file_is_a_mapping(tmp_path) -> None:
    path = tmp_path / "densities.yaml"
    path.write_text("fc: 1.0\nstem*: 0.5\n")
    assert custom(str(path)) == custom({"fc": 1.0, "stem*": 0.5})


def test_a_pattern_that_covers_everything_adds_up_in_spite_of_rounding(cifar_resnet) -> None:
    shapes = cifar_resnet(20)  # 270,896 weights, none of whose layers is a multiple of 10
    assert sum(allocate(custom({"*": 0.1}), shapes, 0.1).values()) == 27_090


def test_a_full_mapping_that_does_not_add_up_says_what_it_implies() -> None:
    rule = custom({"fc": 1.0, "*": 0.5})
    with pytest.raises(InfeasibleDensity, match=r"add up to density 0\.7, not 0\.5") as error:
        allocate(rule, SHAPES, 0.5)
    assert sum(allocate(rule, SHAPES, error.value.nearest).values()) == 70


@pytest.mark.parametrize(("density", "word", "nearest"), [(0.3, "smallest", 0.43), (0.95, "largest", 0.9)])
def test_an_impossible_rest_says_what_works(density, word, nearest) -> None:
    # 40 named weights and three layers of one each; or 30 named weights and 60 others, all dense.
    rule = custom({"fc": 1.0}) if word == "smallest" else custom({"fc": 0.75})
    with pytest.raises(InfeasibleDensity, match=re.escape(f"{word} density that works is {nearest};")):
        allocate(rule, SHAPES, density)
    assert sum(allocate(rule, SHAPES, nearest).values()) == round(100 * nearest)


def test_a_density_that_names_less_than_a_weight_keeps_one() -> None:
    assert allocate(custom({"fc": 1e-6}), SHAPES, 0.5)["fc.weight"] == 1


def test_a_pattern_that_decides_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'head' matches no layer. Layers: stem\.weight"):
        allocate(custom({"head": 1.0}), SHAPES, 0.5)
    with pytest.raises(ValueError, match="'fc' decides nothing"):
        allocate(custom({"*": 0.5, "fc": 1.0}), SHAPES, 0.5)


def test_a_mapping_or_file_that_is_none_is_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        custom("nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    for text, message in [("- 1", "mapping"), ("{", "read as YAML"), ("fc: dense", "number"), ("", "mapping")]:
        broken.write_text(text)
        with pytest.raises(UnknownOption, match=message):
            custom(str(broken))
    with pytest.raises(UnknownOption, match="nan"):
        custom({"fc": float("nan")})
    for value in (0.0, -0.5, 1.01):
        with pytest.raises(UnknownOption, match=r"\(0, 1\]"):
            custom({"fc": value})
