"""Flags, YAML and assignments to one config."""

from __future__ import annotations

import pytest
import yaml

from rarefy.config import Config, ConfigError, build_config, dump_config
from rarefy.registry import UnknownName

SPARSE = {"sparse": True, "fix": True}


def settings_file(folder, values):
    file = folder / "mine.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))
    return file


def test_the_paper_s_command():
    """rarefy train --sparse --seed 17 --sparse_init ERK --fix --lr 0.1 --density 0.05 --model cifar_resnet_20_16
    --data cifar10 --epoch 160"""
    flags = {
        "sparse": True, "seed": 17, "sparse_init": "ERK", "fix": True, "lr": 0.1, "density": 0.05,
        "model": "cifar_resnet_20_16", "data": "cifar10", "epoch": 160,
    }  # fmt: skip
    expected = {
        "data": "cifar10", "model": "cifar_resnet_20_16", "density": 0.05, "allocation": "ERK", "topology": "static",
        "seed": 17, "training": {"lr": 0.1, "epochs": 160},
    }  # fmt: skip
    assert build_config(flags) == Config.from_values(expected)


def test_without_sparse_training_is_dense():
    config = build_config({})
    assert (config.allocation.name, config.density, config.topology.name) == ("dense", 1.0, "static")


@pytest.mark.parametrize(("flags", "topology"), [({"sparse": True}, "set"), (SPARSE, "static")])
def test_fix_keeps_the_topology_static(flags, topology):
    config = build_config(flags)
    assert (config.allocation.name, config.density, config.topology.name) == ("erk", 0.05, topology)


@pytest.mark.parametrize(
    ("flag", "value", "place", "expected"),
    [
        ("data", "mnist", "data.name", "mnist"),
        ("arch", "vgg11", "model.name", "vgg11"),
        ("density", 0.1, "density", 0.1),
        ("sparse-init", "uniform", "allocation.name", "uniform"),
        ("sparse_init", "uniform", "allocation.name", "uniform"),
        ("SPARSE_INIT", "uniform", "allocation.name", "uniform"),
        ("fc_density", 0.5, "allocation.fc_density", 0.5),
        ("topology", "rigl", "topology.name", "rigl"),
        ("growth", "gradient", "topology.grow", "gradient"),
        ("death", "set", "topology.drop", "set"),
        ("redistribution", "momentum", "topology.redistribute", "momentum"),
        ("death_rate", 0.3, "topology.fraction", 0.3),
        ("update_frequency", 100, "topology.interval", 100),
        ("decay_schedule", "linear", "topology.schedule", "linear"),
        ("diagnostics", True, "training.diagnostics", True),
        ("scaled", True, "scaling.name", "fan_in"),
        ("scaling", "supar", "scaling.name", "supar"),
        ("seed", 0, "seed", 0),
        ("epochs", 3, "training.epochs", 3),
        ("epoch", 3, "training.epochs", 3),
        ("multiplier", 2, "training.epochs", 320),
        ("b", 64, "training.batch_size", 64),
        ("batch_size", 64, "training.batch_size", 64),
        ("optimizer", "adam", "training.optimizer.name", "adam"),
        ("lr", 0.2, "training.lr", 0.2),
        ("momentum", 0.5, "training.optimizer.momentum", 0.5),
        ("l2", 1e-4, "training.weight_decay", 1e-4),
        ("wd", 0.0, "training.weight_decay", 0.0),
        ("no_norm_decay", True, "training.norm_weight_decay", False),
        ("schedule", "cosine", "training.schedule.name", "cosine"),
        ("warmup", 5, "training.warmup_epochs", 5.0),
        ("label_smoothing", 0.1, "training.label_smoothing", 0.1),
        ("clip_norm", 1, "training.clip_norm", 1.0),
        ("precision", "fp16", "training.precision", "fp16"),
        ("bf16", True, "training.precision", "bf16"),
        ("fp16", True, "training.precision", "fp16"),
        ("channels_last", True, "training.channels_last", True),
        ("compile", True, "training.compile", True),
        ("select", "best", "training.select", "best"),
        ("engine", "cpu", "engine.name", "cpu"),
        ("device", "cpu", "device", "cpu"),
        ("no_cuda", True, "device", "cpu"),
        ("training.lr", 0.2, "training.lr", 0.2),
        ("allocation.fc_density", 0.5, "allocation.fc_density", 0.5),
        ("allocation", "er", "allocation.name", "er"),
    ],
)
def test_a_flag_sets_its_place_and_nothing_else(flag, value, place, expected):
    moving = {"topology": "rigl"} if place.startswith("topology") else {"fix": True}
    changed = build_config({"sparse": True} | moving | {flag: value}).model_dump()
    values = build_config({"sparse": True} | moving).model_dump()
    inner = changed
    for part in place.split("."):
        inner = inner[part]
    assert inner == expected
    *heads, last = place.split(".")
    for part in heads:
        changed, values = changed[part], values.setdefault(part, {})
    assert {**changed, last: None} == {**values, last: None}


def test_none_and_false_are_not_given():
    assert build_config({"seed": None, "sparse": False, "lr": None, "compile": False}) == build_config({})


def test_an_unknown_flag_comes_with_the_nearest():
    with pytest.raises(UnknownName, match=r"Unknown flag or setting 'densty'. Did you mean 'density'\?"):
        build_config({"densty": 0.1})


# --- dense ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [{"sparse": True}, SPARSE, SPARSE | {"density": 0.1, "scaled": True}])
def test_dense_is_one_config_whatever_is_asked_beside_it(flags):
    assert build_config(flags | {"sparse_init": "DENSE"}) == build_config({}).model_copy(
        update={"allocation": build_config(flags | {"sparse_init": "DENSE"}).allocation}
    )


@pytest.mark.parametrize(
    ("flag", "value", "spelling"),
    [("density", 0.1, "--density"), ("sparse_init", "er", "--sparse-init"), ("fix", True, "--fix"),
     ("scaled", True, "--scaled"), ("fc_density", 0.5, "--fc-density")],
)  # fmt: skip
def test_a_sparse_flag_without_sparse_is_told_and_has_no_effect(flag, value, spelling):
    notices = []
    assert build_config({flag: value}, notice=notices.append) == build_config({})
    assert notices == [f"{spelling} has no effect: training is dense without --sparse"]


@pytest.mark.parametrize("flag", ["growth", "topology", "death_rate"])
def test_a_topology_flag_beside_fix_is_told_and_has_no_effect(flag):
    notices = []
    config = build_config(SPARSE | {flag: 0.3 if flag == "death_rate" else "gradient"}, notice=notices.append)
    assert config == build_config(SPARSE)
    assert notices == [f"--{flag.replace('_', '-')} has no effect: --fix keeps the topology static"]


def test_a_rule_named_by_itself_makes_a_free_composition():
    topology = build_config({"sparse": True, "growth": "gradient"}).topology
    assert topology.model_dump() == {"name": "dynamic", "grow": "gradient"}


@pytest.mark.parametrize("flags", [{}, {"lr": 0.2}, SPARSE | {"density": 0.1}, {"sparse": True, "scaled": True}])
def test_flags_that_act_are_not_remarked_on(flags):
    notices = []
    build_config(flags, notice=notices.append)
    assert notices == []


def test_a_density_beside_the_dense_allocation_is_told():
    notices = []
    build_config(SPARSE | {"sparse_init": "dense", "density": 0.1}, notice=notices.append)
    assert any("--density" in notice for notice in notices)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags", [{}, SPARSE | {"sparse_init": "erk_plus", "fc_density": 0.5, "density": 0.1}, {"sparse": True, "lr": 0.3}]
)
def test_a_run_s_own_file_gives_its_config_back(tmp_path, flags):
    config = build_config(flags)
    assert build_config({}, file=settings_file(tmp_path, dump_config(config))) == config


def test_flags_go_over_the_file_and_assignments_over_flags(tmp_path):
    file = settings_file(tmp_path, {"seed": 1, "density": 0.2, "training": {"lr": 0.5, "epochs": 4}})
    config = build_config({"lr": 0.6, "seed": 2}, file=file, assignments=["seed=3"])
    assert (config.training.epochs, config.density, config.training.lr, config.seed) == (4, 0.2, 0.6, 3)
    assert config.allocation.name == "erk", "a file needs no --sparse"


def test_a_part_of_a_method_in_a_file_keeps_the_rest(tmp_path):
    file = settings_file(tmp_path, {"training": {"optimizer": {"momentum": 0.5}}})
    assert build_config({}, file=file).training.optimizer.model_dump() == {"name": "sgd", "momentum": 0.5}


def test_sparse_beside_a_dense_file_trains_sparse(tmp_path):
    file = settings_file(tmp_path, dump_config(build_config({})))
    config = build_config(SPARSE | {"density": 0.1}, file=file)
    assert (config.allocation.name, config.density) == ("erk", 0.1)


def test_fix_beside_a_dynamic_file_acts_or_is_told(tmp_path):
    notices = []
    file = settings_file(tmp_path, dump_config(build_config({"sparse": True})))
    config = build_config({"fix": True}, file=file, notice=notices.append)
    assert config.topology.name == "static" or any("--fix" in notice for notice in notices)


def test_the_topology_of_a_file_stays_where_no_flag_speaks_of_it(tmp_path):
    file = settings_file(tmp_path, {"topology": {"name": "rigl"}, "density": 0.1})
    assert build_config({"lr": 0.2}, file=file).topology.name == "rigl"


@pytest.mark.parametrize("content", ["1: 2", "training: {1: 2}", "null: 3"])
def test_a_key_that_is_no_text_is_a_wrong_setting(tmp_path, content):
    with pytest.raises(ConfigError):
        build_config({}, file=settings_file(tmp_path, content))


# --- methods and their options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [("allocation", {"name": "erk_plus", "fc_density": 0.5}, "er"),
     ("data", {"name": "synthetic", "classes": 3}, "mnist"),
     ("training.schedule", {"name": "step", "gamma": 0.5}, "cosine")],
)  # fmt: skip
@pytest.mark.parametrize("how", ["flag", "assigned", "assigned name"])
def test_an_old_method_s_options_go_with_its_name(tmp_path, place, old, new, how):
    values = {"training": {"schedule": old}} if place == "training.schedule" else {place: old}
    file = settings_file(tmp_path, values)
    flags = {place: new} if how == "flag" else {}
    assignments = {"flag": [], "assigned": [f"{place}={new}"], "assigned name": [f"{place}.name={new}"]}[how]
    chosen = build_config(flags, file=file, assignments=assignments)
    for part in place.split("."):
        chosen = getattr(chosen, part)
    assert chosen.model_dump() == {"name": new}


def test_the_same_name_again_keeps_the_options(tmp_path):
    file = settings_file(tmp_path, {"allocation": {"name": "erk_plus", "fc_density": 0.5}})
    assert build_config({"sparse_init": "erk_plus"}, file=file).allocation.options == {"fc_density": 0.5}
    assert build_config({"sparse_init": "ERK-plus"}, file=file).allocation.options == {"fc_density": 0.5}


@pytest.mark.parametrize("text", ["name: erk_plus\n  fc_density: 0.5", "fc_density: 0.5\n  name: erk_plus"])
def test_name_and_options_come_in_any_order(tmp_path, text):
    file = settings_file(tmp_path, f"allocation:\n  {text}\n")
    assert build_config({}, file=file).allocation.model_dump() == {"name": "erk_plus", "fc_density": 0.5}


@pytest.mark.parametrize("text", ["{name: erk_plus, fc_density: 0.5}", "{fc_density: 0.5, name: erk_plus}"])
def test_name_and_options_are_assigned_in_any_order(text):
    chosen = build_config(SPARSE, assignments=[f"allocation={text}"]).allocation
    assert chosen.model_dump() == {"name": "erk_plus", "fc_density": 0.5}


# --- assignments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("training.lr=0.05", "training.lr", 0.05),
        ("training.lr=1e-3", "training.lr", 1e-3),
        (" training.lr = 0.05", "training.lr", 0.05),
        ("training.compile=true", "training.compile", True),
        ("training.clip_norm=null", "training.clip_norm", None),
        ("training.schedule.milestones=[0.3, 0.6]", "training.schedule.milestones", [0.3, 0.6]),
        ("allocation={name: erk_plus, fc_density: 0.5}", "allocation.fc_density", 0.5),
        ("device=cuda:1", "device", "cuda:1"),
        ("data.note=a=b", "data.note", "a=b"),
    ],
)
def test_an_assignment_reaches_any_value(text, place, value):
    found = build_config(SPARSE, assignments=[text]).model_dump()
    for part in place.split("."):
        found = found[part]
    assert found == value


def test_a_multiplier_multiplies_what_was_assigned():
    assert build_config({"multiplier": 3}, assignments=["training.epochs=5"]).training.epochs == 15


@pytest.mark.parametrize("text", ["training.lr", "=3", " =3", ""])
def test_no_assignment_is_told_how_to_write_one(text):
    with pytest.raises(ConfigError, match=r"is not an assignment\. Write a setting, '=' and its value"):
        build_config({}, assignments=[text])


@pytest.mark.parametrize("text", ["seed=[1", "seed={", "seed='", "seed=*a", "seed=a: b: c"])
def test_a_value_that_is_not_yaml_is_the_user_s_mistake(text):
    with pytest.raises(ConfigError, match="seed"):
        build_config({}, assignments=[text])


@pytest.mark.parametrize(
    ("text", "place"),
    [("nothing=1", "nothing"), ("nothing.below=1", "nothing.below"), ("training.rate=1", "training.rate"),
     ("training.lr.x=1", "training.lr.x")],
)  # fmt: skip
def test_a_place_that_is_not_there_is_named_in_full(text, place):
    with pytest.raises(ConfigError, match=f"There is no setting '{place}'"):
        build_config({}, assignments=[text])


def test_a_wrong_value_beside_a_multiplier_is_named():
    with pytest.raises(ConfigError, match=r"training\.epochs cannot be 'many'"):
        build_config({"multiplier": 2}, assignments=["training.epochs=many"])
