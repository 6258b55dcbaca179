"""A sweep file's runs: counted by hand."""

from __future__ import annotations

import itertools

import pytest

from rarefy.config import build_config
from rarefy.pipeline import resolve
from rarefy.registry import UnknownName
from rarefy.sweeps import SweepError, read_about, read_evaluation, read_scales, read_sweep


def values(runs, *names):
    return [tuple(run.settings[name] for name in names) for run in runs]


def test_a_grid_is_every_combination_the_last_axis_fastest(write):
    file = write(grid={"density": [0.1, 0.5], "sparse_init": ["uniform", "erk"], "seed": [1, 2]})
    runs = read_sweep(file)
    assert values(runs, "density", "sparse_init", "seed") == list(
        itertools.product([0.1, 0.5], ["uniform", "erk"], [1, 2])
    )
    assert len({run.id for run in runs}) == 8


def test_a_run_is_the_one_that_the_same_flags_give_to_rarefy_train(write):
    file = write(base={"model": "mlp_16", "epoch": 3, "sparse": True, "fix": True}, grid={"sparse-init": ["ERK"]})
    flags = {"model": "mlp_16", "epochs": 3, "sparse": True, "fix": True, "sparse_init": "ERK"}
    assert [run.id for run in read_sweep(file)] == [resolve(build_config(flags)).id]


def test_flags_dotted_places_and_nested_settings_are_the_same(write):
    spellings = {
        "lr": lambda lr: {"lr": lr},
        "dotted": lambda lr: {"training.lr": lr},
        "nested": lambda lr: {"training": {"lr": lr}},
    }
    assert len({read_sweep(write(list=[spell(0.3)]))[0].id for spell in spellings.values()}) == 1
    for below, above in itertools.permutations(spellings.values(), 2):
        (run,) = read_sweep(write(base=below(0.3), list=[above(0.7)]))
        assert run.config.training.lr == 0.7, "whatever it is called, the later one counts"


def test_a_method_with_options(write):
    axis = [{"name": "set", "interval": 7}, "static"]
    moving, still = read_sweep(write(base={"sparse": True, "device": "cpu"}, grid={"topology": axis}))
    assert moving.config.topology.options["interval"] == 7
    assert still.config.topology.name == "static"


def test_false_and_null_are_values_at_a_dotted_place(write):
    (run,) = read_sweep(write(list=[{"training.deterministic": False, "training": {"clip_norm": None}}]))
    assert run.config.training.deterministic is False
    assert run.config.training.clip_norm is None


def test_list_is_beside_the_grid_and_an_entry_may_have_its_own_grid(write):
    file = write(
        grid={"density": [0.1, 0.5]},
        list=[{"sparse": False, "grid": {"seed": [1, 2, 3]}}, {"density": 0.9, "seed": 4}],
    )
    runs = read_sweep(file)
    assert [(run.config.density, run.config.seed) for run in runs] == [
        (0.1, 17),
        (0.5, 17),
        (1.0, 1),
        (1.0, 2),
        (1.0, 3),
        (0.9, 4),
    ]
    assert [run.config.allocation.name for run in runs] == ["erk", "erk", "dense", "dense", "dense", "erk"]


def test_a_list_alone_is_only_its_entries_and_a_base_alone_is_one_run(write):
    assert [run.config.seed for run in read_sweep(write(list=[{"seed": 3}, {"seed": 5}]))] == [3, 5]
    assert [run.config.seed for run in read_sweep(write())] == [17]


def test_exclude_takes_out_what_has_all_of_its_values(write):
    file = write(
        grid={"density": [0.1, 0.5], "sparse_init": ["uniform", "ERK"], "seed": [1, 2]},
        exclude=[{"density": 0.1, "allocation.name": "erk"}, {"seed": 2, "sparse-init": "Uniform"}],
    )
    assert values(read_sweep(file), "density", "sparse_init", "seed") == [
        (0.1, "uniform", 1),
        (0.5, "uniform", 1),
        (0.5, "erk", 1),
        (0.5, "erk", 2),
    ]


def test_exclude_knows_defaults_and_switches(write):
    file = write(grid={"sparse": [True, False], "seed": [17, 18]}, exclude=[{"sparse": False, "seed": 18}])
    assert len(read_sweep(file)) == 3
    assert len(read_sweep(write(grid={"density": [0.1, 0.5]}, exclude=[{"seed": 17, "density": 0.1}]))) == 1


def test_dense_is_one_run_whatever_the_density(write):
    told = []
    file = write(grid={"sparse_init": ["erk", "dense"], "density": [0.1, 0.5], "seed": [1, 2]})
    runs = read_sweep(file, notice=told.append)
    assert len(runs) == 6
    assert len({run.id for run in runs}) == 6
    assert [run.label for run in runs if run.config.density == 1] == [
        "sparse_init=dense density=1.0 seed=1",
        "sparse_init=dense density=1.0 seed=2",
    ]
    assert len(told) == len(set(told)) == 2


def test_assignments_go_over_everything(write):
    file = write(grid={"density": [0.1, 0.5], "seed": [1, 2]}, list=[{"epochs": 9}])
    runs = read_sweep(file, assignments=["epoch=1", "training.lr=0.5", "seed=3"])
    assert {(run.config.training.epochs, run.config.training.lr, run.config.seed) for run in runs} == {(1, 0.5, 3)}
    assert len(runs) == 3


def test_scales(write):
    parts = {
        "grid": {"density": [0.1, 0.2, 0.5], "seed": [1, 2]},
        "scales": {
            "smoke": {"about": "a minute", "base": {"epoch": 1}, "grid": {"density": [0.5]}},
            "paper": {"base": {"epochs": 160}},
        },
    }
    assert read_scales(write(**parts)) == ["smoke", "paper"]
    smoke = read_sweep(write(**parts), scale="smoke")
    assert [(run.config.density, run.config.seed, run.config.training.epochs) for run in smoke] == [
        (0.5, 1, 1),
        (0.5, 2, 1),
    ]
    assert len(read_sweep(write(**parts), scale="paper")) == 6
    with pytest.raises(SweepError, match="choose one: --scale smoke or --scale paper"):
        read_sweep(write(**parts))
    with pytest.raises(UnknownName, match="Did you mean 'smoke'"):
        read_sweep(write(**parts), scale="smok")
    with pytest.raises(SweepError, match="has no scales"):
        read_sweep(write(), scale="smoke")


def test_words_and_evaluation_of_a_scale_go_over_the_files(write):
    file = write(
        about={"title": "Depth", "cost": "days"},
        evaluate={"cost": True, "ood": ["svhn"]},
        scales={"smoke": {"about": {"cost": "a minute"}, "evaluate": {"ood": ""}}, "paper": {"about": "as it is"}},
    )
    assert read_about(file, "smoke") == {"title": "Depth", "cost": "a minute"}
    assert read_about(file, "paper") == {"title": "Depth", "cost": "days", "about": "as it is"}
    assert read_evaluation(file, "smoke") == {"cost": True, "ood": ""}
    assert read_evaluation(file, "paper") == {"cost": True, "ood": ["svhn"]}
    assert read_about(write()) == read_evaluation(write()) == {}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"grids": {}}, "Did you mean 'grid'"),
        ({"grid": {"densty": [0.1]}}, "Did you mean 'density'"),
        ({"grid": {"training.lrr": [0.1]}}, "Did you mean 'lr'"),
        ({"base": {"epoch_s": 1, "model": "mlp_8", "seeds": 1}}, "Did you mean 'seed'"),
        ({"list": [{"sparse_initt": "erk"}]}, "Did you mean 'sparse_init'"),
        ({"exclude": [{"sed": 1}]}, "Did you mean 'seed'"),
        ({"grid": {"sparse_init": ["erkk"]}}, "Did you mean 'erk'"),
        ({"grid": {"density": 0.1}}, "an axis is a list"),
        ({"grid": {"density": []}}, "an axis is a list"),
        ({"grid": [1]}, "has to be a mapping"),
        ({"list": {"seed": 1}}, "has to be a list"),
        ({"base": {"sparse": "yes please"}}, "true or false"),
        ({"grid": {"density": [2.0]}}, "density cannot be 2.0"),
        ({"exclude": [{"seed": 17}]}, "asks for no run"),
        ({"base": {1: 2}}, "name is text"),
        ({"base": {}}, "asks for nothing"),
        ({"base": {}, "grid": {}}, "asks for nothing"),
        ({"about": ["text"]}, "about is .* it has to be a mapping"),
        ({"scales": {"smoke": {"bass": {}}}}, "Did you mean 'base'"),
    ],
    ids=str,
)
def test_mistakes_say_what_is_wrong(write, parts, told):
    scale = "smoke" if "scales" in parts else None
    with pytest.raises(ValueError, match=told):
        read_sweep(write(**parts), scale=scale)


def test_no_file_says_so(tmp_path):
    with pytest.raises(SweepError, match="There is no sweep file"):
        read_sweep(tmp_path / "none.yaml")


def test_a_gpu_that_only_the_cluster_has(write, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    file = write(list=[{"device": "cuda"}])
    with pytest.raises(ValueError, match="no CUDA device"):
        read_sweep(file)
    (run,) = read_sweep(file, is_remote=True)
    assert run.config.device == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert [again.id for again in read_sweep(file)] == [run.id], "the machine that has it gives it the same id"
