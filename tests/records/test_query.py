"""Which records a question means, by hand; and the two lines of the documentation for pandas."""

from __future__ import annotations

import pytest

from rarefy.records import QueryError, select, tabulate


def row(name: str, density: float, accuracy: float | None, **more) -> dict:
    config = {
        "density": density, "seed": 1, "allocation": {"name": "erk_plus"}, "topology": {"name": "static"},
        "training": {"lr": 0.1, "clip_norm": None, "norm_weight_decay": True, "epochs": 2}, **more,
    }  # fmt: skip
    metrics = {} if accuracy is None else {"accuracy": accuracy, "ood": {"noise": {"auroc": accuracy / 2}}}
    history = [{"train_loss": 0.9}, {"train_loss": 0.5}]
    return {
        "id": name, "density": round(density + 1e-4, 6), "config": config, "metrics": {"test": metrics},
        "history": history, "files": {"model.safetensors": 1234}, "created": f"2026-01-0{name}",
    }  # fmt: skip


ROWS = [
    row("1", 0.05, 0.7),
    row("2", 0.1, 0.9, seed=2),
    row("3", 0.05, 0.8, seed=3, topology={"name": "rigl", "interval": 100}),
    row(
        "4", 1.0, None, allocation={"name": "dense"}, training={"lr": 0.5, "clip_norm": 2.0, "norm_weight_decay": False}
    ),
]


def ids(*where: str, sort: str = "") -> str:
    return "".join(found["id"] for found in select(ROWS, where, sort.split(",") if sort else ()))


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("density=0.05", "13"),
        ("density==0.05", "13"),
        ("density = 5e-2", "13"),
        ("density=1/20", "13"),
        ("density!=0.05", "24"),
        ("density=0.05,1", "134"),
        ("density!=0.05,1", "2"),
        ("density<0.1", "13"),
        ("density<=0.1", "123"),
        ("density>0.1", "4"),
        ("density>=0.1", "24"),
        ("accuracy>0.75", "23"),
        ("accuracy<1", "123"),
        ("accuracy=none", "4"),
        ("accuracy!=none", "123"),
        ("sparse_init=ERK-plus", "123"),
        ("sparse-init=dense", "4"),
        ("topology=rigl", "3"),
        ("sparse=true", "123"),
        ("sparse=no", "4"),
        ("fix=false", "3"),
        ("no_norm_decay=true", "4"),
        ("training.norm_weight_decay=false", "4"),
        ("lr>0.2", "4"),
        ("training.lr=0.5", "4"),
        ("config.training.lr=0.5", "4"),
        ("clip_norm=none", "123"),
        ("clip_norm>1", "4"),
        ("topology.interval=100", "3"),
        ("metrics.test.accuracy=0.9", "2"),
        ("ood.noise.auroc>=0.4", "23"),
        ("record.density>0.0500999", "1234"),
        ("history.-1.train_loss=0.5", "1234"),
        ("files.model.safetensors>1000", "1234"),
        ("created>2026-01-02", "34"),
        ("run=2", "2"),
        ("top5=none", "1234"),
    ],
)
def test_a_condition_by_hand(condition, found):
    assert ids(condition) == found


def test_all_conditions_hold():
    assert ids("density=0.05", "accuracy>0.75") == "3"
    assert ids() == "1234"


@pytest.mark.parametrize(
    ("sort", "order"),
    [("accuracy", "1324"), ("-accuracy", "2314"), ("density,-accuracy", "3124"), ("-density,accuracy", "4213"),
     ("topology", "3124"), ("-id", "4321")],
)  # fmt: skip
def test_sorted_by_hand_and_what_is_missing_comes_last(sort, order):
    assert ids(sort=sort) == order


def test_columns():
    assert tabulate(ROWS[:1], ["id", "density", "record.density", "disk", "sparse", "clip_norm", "history.0"]) == [
        ["1", 0.05, 0.0501, 1234, True, None, {"train_loss": 0.9}]
    ]
    assert tabulate(ROWS[3:], ["accuracy"], among=ROWS) == [[None]]
    assert tabulate([], ["anything"]) == []
    assert select([], ["anything=1"]) == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("acuracy>0.8", r"No record here has 'acuracy'. Did you mean 'accuracy'\?"),
        ("training.lrr=1", r"Did you mean 'training.lr'\?"),
        ("config.dense=1", "No record here has 'config.dense'"),
        ("history.7.train_loss=none", "No record here has 'history.7.train_loss'"),
        ("density", "'density' is not a condition. Write a name"),
        ("=3", "is not a condition"),
        ("density=lots", "hold a number there, and 'lots' is not a number"),
        ("density>lots", "hold a number there, and 'lots' is not a number"),
        ("density>0.1,0.2", "compares with several values; > takes one"),
        ("sparse=perhaps", "'perhaps' is compared with .*Write true or false"),
        ("sparse>0", "has no order"),
        ("history>0", "has no order"),
        ("multiplier=2", "'multiplier' is a flag that no record holds"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(where, message):
    with pytest.raises(QueryError, match=message):
        ids(where)


def test_unknown_names_fail_whatever_is_left():
    with pytest.raises(QueryError, match="acuracy"):
        ids(sort="-acuracy")
    with pytest.raises(QueryError, match="seeed"):
        tabulate([], ["seeed"], among=ROWS)


def test_every_flag_is_a_name(make):
    from rarefy.config import Config
    from rarefy.flags import FLAGS

    config = Config.from_values({
        "allocation": {"name": "erk_plus", "fc_density": 1.0},
        "training": {"optimizer": {"name": "sgd", "momentum": 0.9}},
        "topology": dict.fromkeys(("grow", "drop", "redistribute", "fraction", "interval", "schedule"), "x")
        | {"name": "y"},
    })  # fmt: skip
    rows = [make(config=config.model_dump(mode="json")).model_dump(mode="json")]
    names = [flag.name for flag in FLAGS if flag.config_path or flag.name in ("sparse", "fix")]
    assert len(tabulate(rows, names)[0]) == len(names)
