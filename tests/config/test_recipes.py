"""Recipes against the paper's table, and what goes over them."""

from __future__ import annotations

import pytest

from rarefy.config import Config, ConfigError, build_config
from rarefy.flags import FLAGS
from rarefy.pipeline import resolve
from rarefy.registry import UnknownName, list_file_names
from rarefy.training import SCHEDULES

RECIPES = list_file_names("config/recipes")
SPARSE = {"sparse": True, "fix": True}


def drops(config: Config) -> list[int]:
    """Epochs, counted from 1, after which the rate falls."""
    schedule = SCHEDULES.build(config.training.schedule.name, **config.training.schedule.options)
    factors = [schedule(epoch, config.training.epochs, 1) for epoch in range(config.training.epochs)]
    return [epoch for epoch in range(1, len(factors)) if factors[epoch] < factors[epoch - 1]]


# The paper's table of hyper-parameters: Wide ResNets on ImageNet.
@pytest.mark.parametrize(
    ("flags", "epochs", "milestones"), [({}, 90, [30, 60, 80]), (SPARSE, 100, [30, 60, 90])], ids=["dense", "sparse"]
)
def test_the_paper_s_recipe_is_its_table(flags: dict[str, bool], epochs: int, milestones: list[int]) -> None:
    config = build_config({"recipe": "imagenet-paper", **flags})
    training = config.training
    assert (training.epochs, training.batch_size, training.lr, training.weight_decay) == (epochs, 4 * 192, 0.4, 1e-4)
    assert (training.optimizer.name, training.optimizer.options) == ("sgd", {"momentum": 0.9, "nesterov": False})
    assert (training.warmup_epochs, training.label_smoothing, training.norm_weight_decay) == (5, 0.1, False)
    assert (config.data.name, config.model.name, config.topology.name) == ("imagenet", "wideresnet50_2", "static")
    assert drops(config) == milestones
    density = (config.density, config.allocation.name, config.allocation.options)
    assert density == ((0.2, "erk_plus", {"fc_density": 1.0}) if flags else (1.0, "dense", {}))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("flags", [{}, SPARSE], ids=["dense", "sparse"])
def test_every_recipe_names_what_there_is(name: str, flags: dict[str, bool]) -> None:
    plan = resolve(build_config({"recipe": name, **flags, "device": "cpu"}))
    assert (plan.config.density < 1) == bool(flags)


def test_flags_go_over_a_recipe() -> None:
    config = build_config(
        {"recipe": "IMAGENET_PAPER", **SPARSE, "density": 0.3, "arch": "resnet18", "sparse-init": "ERK"}
    )
    assert (config.density, config.model.name, config.allocation.name) == (0.3, "resnet18", "ERK")
    assert config.training.lr == 0.4


def test_a_recipe_is_its_values() -> None:
    """What a recipe says can be said by flags; the run is the same."""
    flags = {
        **SPARSE, "data": "imagenet", "arch": "WideResNet50_2", "sparse_init": "ERK_plus", "fc_density": 1.0, "lr": 0.4,
        "density": 0.2, "epochs": 100, "b": 768, "wd": 1e-4, "warmup": 5, "label-smoothing": 0.1, "c": "fanin",
        "no_norm_decay": True,
    }  # fmt: skip
    more = ["training.optimizer.nesterov=false", "training.schedule.milestones=[0.3, 0.6, 0.9]"]
    assert (
        resolve(build_config(flags, assignments=more)).id
        == resolve(build_config({"recipe": "imagenet-paper", **SPARSE})).id
    )


def test_an_unknown_recipe() -> None:
    with pytest.raises(UnknownName, match=r"Unknown recipe 'imagenet-papper'\. Did you mean 'imagenet_paper'"):
        build_config({"recipe": "imagenet-papper"})


def test_a_recipe_and_a_file_contradict_each_other(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text("density: 0.1")
    with pytest.raises(ConfigError, match=r"--recipe imagenet-paper and --config .*mine\.yaml both"):
        build_config({"recipe": "imagenet-paper"}, file=tmp_path / "mine.yaml")


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.no_effect], ids=lambda flag: flag.name)
def test_a_flag_without_effect_says_why_in_a_line(flag) -> None:
    notices: list[str] = []
    assert build_config({flag.name: True if flag.kind is bool else 1}, notice=notices.append) == build_config({})
    assert notices == [f"{flag.names[0]} has no effect: {flag.no_effect}"]
    assert "\n" not in flag.no_effect
