"""The scaling of a run: from the flags to the network that is trained."""

from __future__ import annotations

import pytest

from rarefy.config import Config, ConfigError, build_config
from rarefy.errors import InvalidInput
from rarefy.pipeline import resolve, run
from rarefy.training import Event, State

SMALL = {"data": {"name": "synthetic", "height": 8, "width": 8, "train": 64, "validation": 16, "test": 16}}
SPARSE = {"sparse": True, "fix": True, "device": "cpu"}


def test_fan_in_is_the_run_that_scaled_was() -> None:
    ids = {
        resolve(build_config(SPARSE | flags)).id
        for flags in ({"scaled": True}, {"scaling": "fan_in"}, {"scaling": "FanIn"})
    }
    assert len(ids) == 1
    assert resolve(Config(scaled=True)).config == resolve(Config(scaling="fan_in")).config
    assert resolve(Config(scaled=False)).config == resolve(Config()).config


def test_scaled_beside_another_scaling_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        Config.from_values({"scaled": True, "scaling": "supar"})
    assert Config.from_values({"scaled": False, "scaling": "supar"}).scaling.name == "supar"


def test_every_option_of_a_scaling_is_another_run() -> None:
    flags = [{}, {"base_density": 0.5}, {"base_width": 8}]
    runs = [resolve(build_config(SPARSE | {"scaling": "supar", "model": "mlp_16"} | own)) for own in flags]
    assert len({each.id for each in runs}) == 3
    assert runs[0].config.scaling.options == {
        "base_density": 1.0, "base_width": None, "initialiser": "fan_in", "decay": "constant",
    }  # fmt: skip


@pytest.mark.parametrize(("optimizer", "expected"), [("sgd", (16, 4, 1)), ("adamw", (4, 1, 1))])
def test_a_wide_run_learns_at_the_rates_of_a_narrow_one(tmp_path, optimizer, expected) -> None:
    """A quarter of the weights of a network four times as wide, by hand: outputs / (d m) under SGD, else 1 / (d m)."""
    values = SMALL | {"engine": "masked", "model": "mlp_32_32", "density": 0.25, "allocation": "uniform"}
    training = {"epochs": 1, "optimizer": optimizer, "lr": 0.01, "schedule": "constant"}
    found: dict[str, float] = {}

    def keep(event: Event, state: State) -> None:
        names = {id(parameter): name for name, parameter in state.model.named_parameters()}
        for group in state.optimizer.param_groups:
            found.update((names[id(parameter)], group["lr"] / 0.01) for parameter in group["params"])

    scaling = {"name": "supar", "base_width": 8}
    record = run(
        Config.from_values({**values, "scaling": scaling, "training": training}), out=tmp_path, callbacks=[keep]
    )
    assert [found[f"fc{number}.weight"] for number in (1, 2, 3)] == pytest.approx(expected)
    assert record.config["scaling"]["name"] == "supar"
    assert record.history[0].lr == pytest.approx(0.01)


def test_a_network_without_a_width_is_refused(tmp_path) -> None:
    values = SMALL | {"engine": "masked", "model": "vgg11", "scaling": {"name": "supar", "base_width": 8}}
    values["data"] = values["data"] | {"height": 32, "width": 32}
    with pytest.raises(InvalidInput) as caught:
        run(Config.from_values({**values, "training": {"epochs": 1}}), out=tmp_path)
    assert (caught.value.name, caught.value.value) == ("base_width", 8)


@pytest.mark.parametrize("topology", ["gmp", "granet", "snfs"])
def test_a_topology_that_changes_counts_is_refused_before_data_is_read(topology) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(build_config({"sparse": True, "scaling": "supar", "topology": topology, "device": "cpu"}))
    assert caught.value.name == "scaling"
