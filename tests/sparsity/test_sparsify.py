"""sparsify: what is masked, how many, and what else it leaves alone."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from rarefy.allocation import ALLOCATIONS, InfeasibleDensity
from rarefy.errors import InvalidInput
from rarefy.masks import draw_masks as draw
from rarefy.sparsity import load, save, sparsify
from rarefy.topology import TOPOLOGIES


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.embedding.weight


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))


ANY_DENSITY = [(rule, density) for rule in ("uniform", "er", "erk") for density in (0.01, 0.05, 0.3, 1.0)]
FIRST_DENSE = [("uniform_plus", 0.95)]  # the first of two layers is 86% of this network


@pytest.mark.parametrize(("allocation", "density"), ANY_DENSITY + FIRST_DENSE)
def test_counts_are_exact_and_zeros_are_written_at_once(allocation: str, density: float) -> None:
    model = small()
    sparsity = sparsify(model, density=density, allocation=allocation)
    total = 64 * 32 + 32 * 10
    assert sparsity.kept == round(density * total)
    assert sum(int(m.weight.count_nonzero()) for m in (model[0], model[3])) == sparsity.kept


def test_masks_are_those_of_the_written_rule() -> None:
    sparsity = sparsify(small(), density=0.1, allocation="uniform", seed=3)
    counts = sparsity.masks.counts()
    assert sparsity.masks == draw(counts, {"0.weight": (32, 64), "3.weight": (10, 32)}, 3)


def test_masks_of_one_seed_are_nested_across_densities() -> None:
    few = sparsify(small(), density=0.1, allocation="uniform").masks
    many = sparsify(small(), density=0.4, allocation="uniform").masks
    assert all(bool((many[name] | ~few[name]).all()) for name in few)


def test_biases_and_norms_are_never_touched() -> None:
    model = small()
    before = {name: p.clone() for name, p in model.named_parameters() if p.ndim == 1}
    sparsity = sparsify(model, density=0.05)
    assert list(sparsity.masks) == ["0.weight", "3.weight"]
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters() if p.ndim == 1)


def test_kept_weights_keep_their_values() -> None:
    model = small()
    before = copy.deepcopy(model)
    sparsity = sparsify(model, density=0.2)
    for old, name in ((before[0], "0.weight"), (before[3], "3.weight")):
        mask = sparsity.masks[name]
        assert torch.equal(sparsity.weights()[name][mask], old.weight[mask])


def test_scaled_divides_by_the_square_root_of_each_layer_s_density() -> None:
    model = small()
    before = copy.deepcopy(model)
    sparsity = sparsify(model, density=0.2, scaled=True)
    mask, density = sparsity.masks["0.weight"], sparsity.layers()[0].density
    torch.testing.assert_close(model[0].weight[mask], before[0].weight[mask] / density**0.5)


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        (["*"], ["3"], ["0.weight"]),
        (["3.weight"], [], ["3.weight"]),
        ([nn.Linear], ["0*"], ["3.weight"]),
    ],
)
def test_include_and_exclude(include: list[str], exclude: list[str], names: list[str]) -> None:
    assert list(sparsify(small(), density=0.5, include=include, exclude=exclude).masks) == names


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'classifier' matches no prunable weight. There are: 0.weight, 3.weight"):
        sparsify(small(), density=0.5, exclude=["classifier"])


def test_densities_by_pattern() -> None:
    sparsity = sparsify(small(), density=0.2, allocation={"3": 1.0})
    assert sparsity.masks.counts()["3.weight"] == 320
    assert sparsity.kept == round(0.2 * 2368)


def test_a_rule_as_a_value() -> None:
    assert sparsify(small(), density=0.5, allocation=ALLOCATIONS.build("uniform")).kept == 1184


def test_zeros_that_are_there_become_the_masks() -> None:
    model = small()
    with torch.no_grad():
        model[0].weight[:, ::2] = 0
    sparsity = sparsify(model, from_weights=True)
    assert sparsity.masks.counts() == {"0.weight": 1024, "3.weight": 320}
    assert sparsity.masks.seed is None


def test_density_and_from_weights_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either density"):
        sparsify(small(), density=0.5, from_weights=True)
    with pytest.raises(ValueError, match="either density"):
        sparsify(small())


def test_nothing_to_prune() -> None:
    with pytest.raises(ValueError, match="no convolution or linear weight"):
        sparsify(nn.Sequential(nn.LayerNorm(4)), density=0.5)


def test_tied_weights_are_masked_once_and_only_on_request() -> None:
    assert list(sparsify(Tied(), density=0.5).masks) == ["body.weight"]
    model = Tied()
    sparsity = sparsify(model, density=0.5, embeddings=True)
    assert list(sparsity.masks) == ["embedding.weight", "body.weight"]
    assert model.head.weight is model.embedding.weight
    assert int(model.head.weight.count_nonzero()) == sparsity.masks.counts()["embedding.weight"]


def test_a_transformer_s_fused_projections_are_masked_and_its_norms_are_not() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    sparsity = sparsify(layer, density=0.25)
    names = ["self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight"]
    assert list(sparsity.masks) == names
    assert sparsity.kept == round(0.25 * (48 * 16 + 16 * 16 + 2 * 32 * 16))


def test_any_convolution() -> None:
    model = nn.Sequential(
        nn.Conv1d(4, 8, 3), nn.Conv3d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(4, 8, 3, groups=2)
    )
    sparsity = sparsify(model, density=0.3)
    assert [layer.shape for layer in sparsity.layers()] == [(8, 4, 3), (8, 4, 3, 3, 3), (8, 1, 3, 3), (4, 4, 3, 3)]
    assert sparsity.kept == round(0.3 * sparsity.total)


def test_data_dependent_allocations_need_a_sample_and_leave_the_model_alone() -> None:
    model = small()
    with pytest.raises(ValueError, match="sample"):
        sparsify(model, density=0.1, allocation="snip")
    generator = torch.Generator().manual_seed(0)
    sample = (torch.randn(20, 64, generator=generator), torch.randint(10, (20,), generator=generator))
    sparsity = sparsify(model, density=0.1, allocation="snip", sample=sample)
    assert sparsity.kept == round(0.1 * 2368)
    assert all(p.grad is None for p in model.parameters())


def test_gmp_starts_dense_and_knows_where_it_ends() -> None:
    sparsity = sparsify(small(), density=0.1, topology="gmp")
    assert sparsity.density == 1.0
    assert sum(sparsity.final.values()) == round(0.1 * 2368)


def test_the_global_generator_is_not_used() -> None:
    before = torch.get_rng_state()
    sparsify(small(), density=0.1)
    model = small()
    state = torch.get_rng_state()
    sparsify(model, density=0.1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(before, state)  # making the model does draw


def test_a_layer_that_loses_everything_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    model = small()
    with torch.no_grad():
        model[3].weight.zero_()
    with caplog.at_level(logging.WARNING, "rarefy"):
        sparsify(model, from_weights=True)
    assert "3.weight keeps no weight at all" in caplog.text


def make_grouped_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 16, 3), nn.Conv2d(16, 16, 3, groups=4), nn.ConvTranspose2d(16, 8, 2, groups=2), nn.Flatten(),
        nn.Linear(8, 40), nn.Linear(40, 10),
    )  # fmt: skip


@pytest.mark.parametrize("allocation", [name for name in ALLOCATIONS.names() if name not in ("custom", "dense")])
def test_connect_leaves_no_unit_out_under_every_allocation(allocation: str) -> None:
    model = nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 10))
    density = 0.15 if allocation in ("erk_plus", "uniform_plus") else 0.05
    density = 0.4 if allocation == "uniform_plus" else density
    rule: object = {"synflow": ALLOCATIONS.build("synflow", iterations=5)}.get(allocation, allocation)
    sample = (torch.randn(8, 24), torch.arange(8))
    sparsity = sparsify(model, density=density, allocation=rule, sample=sample, connect=True)  # type: ignore[arg-type]
    assert sparsity.kept == round(density * sparsity.total) == sum(sparsity.final.values())
    for mask in sparsity.masks.values():
        assert mask.any(0).all() and mask.any(1).all()


def test_connect_looks_into_the_groups_of_convolutions() -> None:
    sparsity = sparsify(make_grouped_network(), density=0.08, connect=True)
    assert sparsity.masks.connect == {"1.weight": 4, "2.weight": 2}
    for name, groups in (("1.weight", 4), ("2.weight", 2)):
        mask = sparsity.masks[name]
        pairs = mask.reshape(groups, mask.shape[0] // groups, mask.shape[1], -1).any(3)
        assert pairs.any(1).all() and pairs.any(2).all()
    plain = sparsify(make_grouped_network(), density=0.08)
    assert sparsity.masks != plain.masks and sparsity.kept == plain.kept


def test_connect_changes_nothing_where_every_unit_is_connected() -> None:
    plain, connected = sparsify(small(), density=0.3), sparsify(small(), density=0.3, connect=True)
    assert connected.masks == plain.masks


def test_connect_is_refused_where_it_draws_nothing() -> None:
    for options in ({"topology": "gmp"}, {"pattern": "out8"}, {"density": None, "from_weights": True}):
        with pytest.raises(InvalidInput) as error:
            sparsify(small(), **{"density": 0.5, "connect": True} | options)  # type: ignore[arg-type]
        assert error.value.name == "connect"
    with pytest.raises(InfeasibleDensity) as infeasible:
        sparsify(small(), density=0.01, connect=True)
    nearest = sparsify(small(), density=infeasible.value.nearest, connect=True)
    assert nearest.masks.counts() == {
        "0.weight": max(small()[0].weight.shape),
        "3.weight": max(small()[3].weight.shape),
    }


def test_a_pattern_changes_which_weights_are_kept_and_never_how_many(caplog: pytest.LogCaptureFixture) -> None:
    plain = sparsify(small(), density=0.5, allocation="uniform")
    with caplog.at_level(logging.INFO, "rarefy"):
        patterned = sparsify(small(), density=0.5, allocation="uniform", pattern="2:4")
    assert patterned.masks.counts() == plain.masks.counts()
    rows = patterned.masks["0.weight"].view(32, 16, 4).sum(2)
    columns = patterned.masks["0.weight"].view(8, 4, 64).sum(1)
    assert set(rows.unique().tolist()) == set(columns.unique().tolist()) == {2}
    assert torch.equal(patterned.masks["3.weight"], plain.masks["3.weight"]), "10 outputs do not divide"
    assert "1 of 2 layers have the pattern 2:4; without it, as sides or counts do not allow it: 3.weight" in caplog.text


def test_a_pattern_is_not_drawn_where_it_would_not_last() -> None:
    with pytest.raises(ValueError, match=r"lasts while masks stay, and RigL\(.*Use topology='static' \(--fix\)"):
        sparsify(small(), density=0.5, allocation="uniform", pattern="2:4", topology="rigl")
    with pytest.raises(ValueError, match=r"Pruning\(.* cannot move masks of the pattern 'out8' .* that can: .*rigl"):
        sparsify(small(), density=0.5, pattern="out8", topology="gmp")
    with pytest.raises(ValueError, match="No layer can have the pattern '2:4'"):
        sparsify(small(), density=0.1, pattern="2:4")


@pytest.mark.parametrize("pattern", ["out8", "in4"])
@pytest.mark.parametrize("allocation", ALLOCATIONS.names())
def test_groups_keep_the_counts_of_every_allocation(allocation: str, pattern: str) -> None:
    needs: dict[str, object] = {"custom": {"0*": 0.2}}
    rule, sample = needs.get(allocation, allocation), (torch.ones(2, 64), torch.tensor([0, 1]))
    density = {"dense": 1.0, "uniform_plus": 0.95}.get(allocation, 0.3)
    torch.manual_seed(0)
    plain, model = small(), small()
    model.load_state_dict(plain.state_dict())
    expected = sparsify(plain, density=density, allocation=rule, sample=sample).masks  # type: ignore[arg-type]
    sparsity = sparsify(model, density=density, allocation=rule, sample=sample, pattern=pattern)  # type: ignore[arg-type]
    assert sparsity.masks.counts() == expected.counts()
    axis, size = (0, 8) if pattern == "out8" else (1, 4)
    groups = torch.stack([group.sum(axis) for group in sparsity.masks["0.weight"].split(size, axis)])
    assert int((groups % size > 0).sum()) <= 1, "at most one group is kept in part"


def test_groups_move_whole_while_training_and_come_back_from_a_file(tmp_path: Path) -> None:
    model = small()
    sparsity = sparsify(model, density=0.2, pattern="out8", topology=TOPOLOGIES.build("rigl", interval=2, stop=1.0))
    first, counts = dict(sparsity.masks), sparsity.masks.counts()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsity.attach(optimizer, steps=20)
    for step in range(10):
        optimizer.zero_grad()
        inputs = torch.randn(16, 64, generator=torch.Generator().manual_seed(step))
        nn.functional.cross_entropy(model(inputs), torch.arange(16) % 10).backward()
        optimizer.step()
    mask = sparsity.masks["0.weight"]
    groups = mask.view(4, 8, 64).sum(1)
    assert not torch.equal(mask, first["0.weight"]) and sparsity.masks.counts() == counts
    assert int((groups % 8 > 0).sum()) <= 1 and not bool(model[0].weight[~mask].any())
    save(model, sparsity, tmp_path / "model.safetensors")
    loaded = load(small(), tmp_path / "model.safetensors")
    assert loaded.masks == sparsity.masks and loaded.masks.pattern == "out8"
    with pytest.raises(ValueError, match="cannot move masks of the pattern 'out8'"):
        loaded.attach(torch.optim.SGD(loaded.model.parameters(), lr=0.1), topology="srigl")
