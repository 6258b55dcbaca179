"""``rarefy densities``: the table, counted by hand."""

from __future__ import annotations

import pytest


def rows(text: str) -> dict[str, list[str]]:
    """First word of each line to the others."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_uniform_mlp_by_hand(rarefy):
    done = rarefy("densities mlp_16 --sparse-init uniform --density 0.25 --channels 1 --size 2 --classes 4")
    assert done.code == 0
    table = rows(done.out)
    assert table["fc1.weight"] == ["16x4", "16", "25.00%", "128", "32"]
    assert table["fc2.weight"] == ["4x16", "16", "25.00%", "128", "32"]
    assert table["total"] == ["128", "32", "25.00%", "256", "64", "(0.250x)"]


@pytest.mark.parametrize("density", [0.05, 0.1])
def test_the_paper_s_resnet(rarefy, density):
    done = rarefy(f"densities cifar_resnet_20 --sparse_init ERK --density {density}")
    assert done.code == 0
    assert rows(done.out)["total"][:2] == ["270,896", f"{round(density * 270896):,}"]
    if density == 0.1:  # paper.md: fc and the stage-2 shortcut dense, first conv .983, last 3x3 .062
        table = rows(done.out)
        assert table["fc.weight"][2] == "100.00%"
        assert table["conv1.weight"][2].startswith("98.")
        assert next(row for name, row in reversed(table.items()) if "64x64x3x3" in row)[2].startswith("6.")


def test_every_layer_has_its_line(rarefy):
    out = rarefy("densities vgg11 --density 0.1").out
    assert sum(line.split()[0].endswith(".weight") for line in out.splitlines() if line.strip()) == 9


@pytest.mark.parametrize("name", ["balanced", "pyramidal", "igq", "smart-ratio"])
def test_rules_of_shapes_print_the_exact_total(rarefy, name):
    done = rarefy(f"densities cifar_resnet_8 --sparse-init {name} --density 0.1")
    total, kept, percentage, *_ = rows(done.out)["total"]
    assert (done.code, int(kept.replace(",", "")), percentage) == (
        0,
        round(0.1 * int(total.replace(",", ""))),
        "10.00%",
    )


def test_connect_gives_small_layers_what_they_need(rarefy):
    out = rarefy("densities mlp_64_64 --sparse-init uniform --density 0.05 --channels 1 --size 4 --connect").out
    table = rows(out)  # without it 51, 205 and 32; a layer of 64 units needs 64
    assert [table[f"fc{layer}.weight"][1] for layer in (1, 2, 3)] == ["64", "160", "64"]
    assert table["total"][1] == "288"


def test_an_initialiser_gives_layers_what_its_matrices_need(rarefy):
    out = rarefy("densities mlp_64_64 --sparse-init uniform --density 0.02 --channels 1 --size 4 --initialiser eoi").out
    table = rows(out)  # without it 20, 82 and 13; an orthogonal matrix needs its shorter side: 16, 64 and 10
    assert [table[f"fc{layer}.weight"][1] for layer in (1, 2, 3)] == ["20", "82", "13"]
    done = rarefy("densities mlp_64_64 --density 0.005 --channels 1 --size 4 --initialiser eoi")
    assert done.code == 2
    assert "keeps 29 of 5,760 weights, fewer than the 90 that its 3 layers need" in done.err
    assert "smallest density that works is 0.0156" in done.err


@pytest.mark.parametrize(
    "classifier", [["--fc-density", "0.5"], ["--fc_density=0.5"], ["--set", "allocation.fc_density=0.5"]]
)
def test_options_reach_the_allocation(rarefy, classifier):
    out = rarefy("densities mlp_64_64 --sparse-init erk_plus --density 0.3", *classifier).out
    assert rows(out)["fc3.weight"][1:3] == ["320", "50.00%"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nothing", "Unknown model 'nothing'"),
        ("cifar_resnet_21", "21"),
        ("mlp_16 --sparse-init erkk", "Did you mean 'erk'"),
        ("mlp_16 --density 0", "density cannot be 0"),
        ("mlp_16 --density 1.5", "density cannot be 1.5"),
        ("mlp_16 --sparse-init snip", "looks at data"),
        ("mlp_16 --set nothing=1", "There is no setting 'nothing'"),
        ("mlp_16 --sparse-init erk_plus --density 0.001", "density"),
        ("vgg16 --size 8", "16x16"),
    ],
)
def test_mistakes_are_sentences(rarefy, words, told):
    assert told in rarefy(f"densities {words}").sentence


def test_nothing_is_read_or_written(rarefy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rarefy("densities mlp_16").code == 0
    assert list(tmp_path.iterdir()) == []
