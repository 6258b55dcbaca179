"""The config's values: the paper's defaults, what is refused, and ids that are frozen for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pydantic
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rarefy.config import (
    Config,
    ConfigError,
    MethodConfig,
    Training,
    build_config,
    compute_run_id,
    dump_config,
    read_settings,
)
from rarefy.pipeline import resolve
from rarefy.registry import UnknownName

GOLDEN = json.loads((Path(__file__).parent / "golden" / "ids.json").read_text())

# A changed value of every field; a field that is added to the config has to be added here.
CHANGED = {
    "data": "mnist",
    "model": "vgg11",
    "density": 0.1,
    "allocation": "er",
    "scaling": "supar",
    "pattern": "2:4",
    "connect": True,
    "initialiser": "eoi",
    "topology": "set",
    "engine": "cpu",
    "seed": 18,
    "device": "cpu",
    "training.epochs": 161,
    "training.batch_size": 129,
    "training.optimizer": "adam",
    "training.lr": 0.2,
    "training.weight_decay": 0.0,
    "training.norm_weight_decay": False,
    "training.schedule": "cosine",
    "training.warmup_epochs": 0.5,
    "training.label_smoothing": 0.1,
    "training.clip_norm": 1.0,
    "training.precision": "bf16",
    "training.channels_last": True,
    "training.compile": True,
    "training.select": "best",
    "training.deterministic": False,
    "training.diagnostics": True,
    "training.accumulate": 2,
    "training.sync_norms": True,
    "training.recompute": True,
    "training.compression": "bf16",
}


def nested(place: str, value: object) -> dict:
    head, _, rest = place.partition(".")
    return {head: nested(rest, value) if rest else value}


def turned(value: object) -> object:
    """The same mappings with their entries in the opposite order."""
    return {name: turned(item) for name, item in reversed(value.items())} if isinstance(value, dict) else value


def test_defaults_are_the_paper_s():
    config = Config()
    assert (config.density, config.allocation.name, config.topology.name, config.seed) == (0.05, "erk", "static", 17)
    training = config.training
    assert (training.epochs, training.batch_size, training.lr, training.weight_decay) == (160, 128, 0.1, 5e-4)
    assert training.norm_weight_decay, "the paper's CIFAR runs decay norms and biases too"
    assert (training.optimizer.name, training.schedule.name, training.precision) == ("sgd", "step", "fp32")
    optimizer = resolve(config).config.training.optimizer
    assert optimizer.options == {"momentum": 0.9, "nesterov": True}
    assert resolve(config).config.training.schedule.options == {"milestones": [0.5, 0.75], "gamma": 0.1}


def test_the_table_of_changes_has_every_field():
    fields = {*Config.model_fields} - {"training"} | {f"training.{name}" for name in Training.model_fields}
    assert CHANGED.keys() == fields


@pytest.mark.parametrize("place", CHANGED)
def test_the_id_depends_on_every_field(place):
    changed = Config.from_values(nested(place, CHANGED[place]))
    assert compute_run_id(changed) != compute_run_id(Config())


def test_no_two_changes_have_the_same_id():
    ids = {compute_run_id(Config.from_values(nested(place, value))) for place, value in CHANGED.items()}
    assert len(ids) == len(CHANGED)


@pytest.mark.parametrize("place", ["allocation", "topology", "engine", "data", "model", "training.optimizer"])
def test_the_id_depends_on_a_method_s_options(place):
    one, other = (Config.from_values(nested(place, {"name": "x", "a": 1, "b": value})) for value in (1, 2))
    assert compute_run_id(one) != compute_run_id(other)


def test_the_id_does_not_depend_on_the_order_of_settings():
    config = Config.from_values(
        {"density": 0.1, "allocation": {"name": "erk_plus"}, "training": {"lr": 0.2, "epochs": 2}}
    )
    values = turned(config.model_dump())
    assert list(values) != list(config.model_dump())
    assert resolve(Config.from_values(values)).id == resolve(config).id


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("rigl", "4e1bcb304077"),
        ("set", "76be158499eb"),
        ("snfs", "d0aac99734ae"),
        ("itop", "73e3123b4e28"),
        ("granet", "683802437926"),
        ("dynamic", "e04945e33d14"),
    ],
)
def test_runs_keep_their_ids_when_a_topology_gets_an_option(name: str, id_: str) -> None:
    """Ids from before these topologies had `regrow`."""
    assert resolve(Config(topology=name, device="cpu")).id == id_
    assert resolve(Config(topology={"name": name, "regrow": True}, device="cpu")).id != id_


def test_a_pattern_that_yaml_reads_as_minutes_and_seconds_is_understood():
    assert yaml.safe_load("2:4") == 124
    assert build_config({"sparse": True}, assignments=["pattern=2:4"]).pattern == "2:4"
    assert build_config({"sparse": True, "pattern": "2:4"}).dense().pattern == "unstructured"
    with pytest.raises(UnknownName, match="Did you mean '2:4'"):
        resolve(build_config({"sparse": True, "pattern": "1:4"}))


def test_a_pattern_has_one_spelling_in_an_id():
    ids = {resolve(Config(pattern=name, device="cpu")).id for name in ("out8", "Out-8", "OUT_8")}
    assert len(ids) == 1 and ids != {resolve(Config(pattern="out4", device="cpu")).id}


def test_the_id_depends_on_an_order_that_means_something():
    """Of custom densities the first pattern that matches decides: other order, other network, other run."""
    patterns = {"fc1": 0.5, "fc*": 0.1}
    one, other = (
        Config.from_values({"model": "mlp_8", "allocation": {"name": "custom", "densities": densities}})
        for densities in (patterns, dict(reversed(patterns.items())))
    )
    assert compute_run_id(resolve(one).config) != compute_run_id(resolve(other).config)


def test_the_id_is_the_documented_hash():
    config = Config(density=0.25, allocation={"name": "erk_plus", "fc_density": 1.0})
    values = yaml.safe_load(dump_config(config))
    del values["pattern"], values["connect"], values["initialiser"]  # at their defaults, as are these
    values = {("scaled" if name == "scaling" else name): values[name] for name in values} | {"scaled": False}
    for younger in ("accumulate", "sync_norms", "recompute", "compression"):
        del values["training"][younger]
    text = json.dumps(values, separators=(",", ":"))
    assert compute_run_id(config) == hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", GOLDEN)
def test_ids_are_frozen(name):
    """A line that fails: every run of that kind gets a new folder, and the old ones are not found again."""
    flags = {"device": "cpu"} | GOLDEN[name]["flags"]
    assert resolve(build_config(flags)).id == GOLDEN[name]["id"]


def test_no_two_frozen_ids_are_the_same():
    assert len({case["id"] for case in GOLDEN.values()}) == len(GOLDEN)


def test_an_integer_where_a_fraction_is_meant_is_the_same_run():
    assert compute_run_id(Config(density=1)) == compute_run_id(Config(density=1.0))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"density": 0.1, "seed": -3, "training": {"epochs": 2, "clip_norm": 1.0, "lr": 1e-5}},
        {"allocation": {"name": "custom", "densities": {"fc": 1.0, "layer1.*": 0.25}}},
        {"data": {"name": "synthetic", "classes": 3}, "training": {"schedule": {"name": "step", "milestones": [0.3]}}},
    ],
)
def test_what_is_dumped_reads_back(tmp_path, values):
    config = Config.from_values(values)
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config))
    assert Config.from_values(read_settings(file)) == config
    assert compute_run_id(Config.from_values(read_settings(file))) == compute_run_id(config)
    assert yaml.safe_load(file.read_text()) == config.model_dump(mode="json")


@settings(max_examples=50)
@given(st.floats(0, 1, exclude_min=True), st.integers(), st.floats(1e-300, 1e6), st.text(st.characters(codec="utf-8")))
def test_every_value_reads_back(density, seed, lr, device):
    config = Config.from_values({"density": density, "seed": seed, "device": device, "training": {"lr": lr}})
    assert Config.from_values(yaml.safe_load(dump_config(config))) == config


def test_a_resolved_config_resolves_to_itself():
    config = resolve(build_config({"sparse": True, "sparse_init": "ERK-plus", "device": "cpu"})).config
    assert resolve(Config.from_values(yaml.safe_load(dump_config(config)))).config == config


@pytest.mark.parametrize(
    ("place", "wrong", "allowed"),
    [
        ("density", 0, "greater than 0"),
        ("density", 1.5, "less than or equal to 1"),
        ("density", float("nan"), "finite|greater than 0"),
        ("density", "much", "valid number"),
        ("seed", 1.5, "integer"),
        ("scaled", "perhaps", "boolean"),
        ("allocation", 3, "dictionary|valid"),
        ("allocation.name", None, "string"),
        ("training", 3, "dictionary|valid"),
        ("training.epochs", 0, "greater than or equal to 1"),
        ("training.batch_size", 0, "greater than or equal to 1"),
        ("training.lr", 0, "greater than 0"),
        ("training.lr", float("inf"), "finite"),
        ("training.weight_decay", -1, "greater than or equal to 0"),
        ("training.warmup_epochs", -1, "greater than or equal to 0"),
        ("training.label_smoothing", 1, "less than 1"),
        ("training.clip_norm", 0, "greater than 0"),
        ("training.precision", "fp8", "'fp32', 'tf32', 'bf16' or 'fp16'"),
        ("training.select", "worst", "'last' or 'best'"),
    ],
)
def test_a_wrong_value_names_its_place_what_came_and_what_is_allowed(place, wrong, allowed):
    with pytest.raises(ConfigError, match=rf"{place} cannot be {wrong!r}: .*({allowed})"):
        Config.from_values(nested(place, wrong))


def test_every_wrong_value_has_its_line():
    with pytest.raises(ConfigError) as caught:
        Config.from_values({"density": 2, "training": {"lr": -1}})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["density", "training.lr"]


@pytest.mark.parametrize(("place", "known"), [("dense", "density"), ("training.rate", "lr")])
def test_an_unknown_setting_comes_with_those_that_exist(place, known):
    with pytest.raises(ConfigError, match=rf"There is no setting '{place}'\..* Known: .*\b{known}\b"):
        Config.from_values(nested(place, 1))


@pytest.mark.parametrize("model", [Config(), Config().training, MethodConfig(name="erk")])
def test_values_are_frozen(model):
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(model, next(iter(type(model).model_fields)), "other")


def test_a_choice_is_a_name_or_a_mapping():
    assert MethodConfig.model_validate("erk") == MethodConfig(name="erk")
    assert MethodConfig.model_validate({"name": "erk_plus", "fc_density": 0.5}).options == {"fc_density": 0.5}
    assert MethodConfig(name="erk").options == {}


def test_a_missing_settings_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no settings file .*none\.yaml"):
        read_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "cannot be read as YAML"),
        (b"- 1\n- 2", "holds a list; settings are a mapping"),
        (b"just words", "holds a str; settings are a mapping"),
        (b"\xff\xfe\x00\x80", "cannot be read"),
        (b"!!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ],
)
def test_a_damaged_settings_file_is_named(tmp_path, content, message):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"mine\.yaml {message}"):
        read_settings(file)


def test_an_empty_settings_file_changes_nothing(tmp_path):
    (tmp_path / "mine.yaml").write_text("# later\n")
    assert read_settings(tmp_path / "mine.yaml") == {}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_option_that_is_not_finite_is_refused(number):
    """JSON has no word for it: in the id and in config.yaml it would become null, another run's value."""
    with pytest.raises(ConfigError, match="gamma"):
        Config.from_values({"training": {"schedule": {"name": "step", "gamma": number}}})


def test_an_unknown_setting_comes_with_the_nearest():
    with pytest.raises(ConfigError, match=r"There is no setting 'training\.lrr'\. Did you mean 'lr'\?"):
        Config.from_values({"training": {"lrr": 1}})
