"""Initial weights of sparse layers: exactly orthogonal at any density, with exact counts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rarefy.allocation import InfeasibleDensity
from rarefy.errors import InvalidInput
from rarefy.registry import UnknownOption
from rarefy.sparsity import INITIALISERS, load, save, sparsify

EOI = INITIALISERS.build("eoi")


def measure_error(matrix: Tensor) -> float:
    """Largest difference of the Gram matrix of the shorter side from the identity."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return float((gram - torch.eye(len(gram), dtype=gram.dtype)).abs().max())


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([(), (3,), (1, 1), (3, 2)]),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_matrices_are_orthogonal_at_any_count(rows, columns, kernel, fraction, seed) -> None:
    shape = (rows, columns, *kernel)
    mask, least = torch.zeros(shape, dtype=torch.bool), EOI.count_least(shape)
    kept = least + round(fraction * (mask.numel() - least))
    mask.view(-1)[:kept] = True
    values, chosen = EOI(torch.zeros(shape), mask, torch.Generator().manual_seed(seed))
    assert int(chosen.sum()) == kept and not values[~chosen].any()
    assert measure_error(values.reshape(rows, columns, -1).sum(2)) < 1e-12  # all of it is at the kernel's centre
    assert int((values.reshape(rows, columns, -1) != 0).any((0, 1)).sum()) == 1


def test_rotations_fill_a_linear_layer_up_to_the_count() -> None:
    for density in (0.05, 0.3, 1.0):
        mask = torch.zeros(40, 60, dtype=torch.bool)
        mask.view(-1)[: round(2400 * density)] = True
        values, _ = EOI(torch.zeros(40, 60), mask, torch.Generator().manual_seed(0))
        assert 2400 * density - 80 < int((values != 0).sum()) <= round(2400 * density)  # the next rotation is too large


def test_a_delta_kernel_keeps_the_norm_of_what_goes_through() -> None:
    mask = torch.zeros(8, 8, 3, 3, dtype=torch.bool)
    mask.view(-1)[:200] = True
    values, _ = EOI(torch.zeros(8, 8, 3, 3), mask, torch.Generator().manual_seed(1))
    images = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    outputs = nn.functional.conv2d(images, values, padding=1)
    torch.testing.assert_close(outputs.square().sum((1, 2, 3)), images.square().sum((1, 2, 3)))


def deep(layers: int = 30) -> nn.Sequential:
    return nn.Sequential(*[nn.Linear(24, 24, bias=False) for _ in range(layers)])


def test_a_signal_goes_through_thirty_sparse_layers_unchanged() -> None:
    model, inputs = deep(), torch.randn(4, 24)
    sparsity = sparsify(model, density=0.2, allocation="uniform", initialiser="eoi")
    assert sparsity.kept == round(0.2 * sparsity.total) and sparsity.masks.seed is None
    torch.testing.assert_close(model(inputs).norm(dim=1), inputs.norm(dim=1))
    plain = deep()
    sparsify(plain, density=0.2, allocation="uniform", initialiser="fan_in")
    assert bool(plain(inputs).norm() < 0.01 * inputs.norm())


def test_the_same_seed_is_the_same_network_and_files_hold_it(tmp_path) -> None:
    models = [deep(3), deep(3), deep(3)]
    first, same, other = (
        sparsify(model, density=0.3, initialiser="eoi", seed=seed)
        for model, seed in zip(models, (1, 1, 2), strict=True)
    )
    assert first.masks == same.masks != other.masks
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    save(models[0], first, tmp_path / "model.safetensors")
    assert load(models[2], tmp_path / "model.safetensors").masks == first.masks
    assert torch.equal(models[2][0].weight, models[0][0].weight)


def test_layers_get_the_weights_that_an_orthogonal_matrix_needs() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 200))
    sparsity = sparsify(model, density=0.02, allocation="uniform", initialiser="eoi")
    assert sparsity.masks.counts() == {"0.weight": 20, "1.weight": 68}  # not 8 and 80
    with pytest.raises(InfeasibleDensity) as error:
        sparsify(model, density=0.005, initialiser="eoi")
    assert round(error.value.nearest * 4400) == 40


def test_what_does_not_go_together_is_refused() -> None:
    grouped = nn.Conv2d(8, 8, 3, groups=2)
    cases = [{"connect": True}, {"pattern": "out8"}, {"scaling": "fan_in"}, {"density": None, "from_weights": True}]
    for model, options in [(nn.Linear(16, 16), case) for case in cases] + [(grouped, {})]:
        with pytest.raises(InvalidInput) as error:
            sparsify(model, **{"density": 0.5, "initialiser": "eoi"} | options)
        assert error.value.name == "initialiser"
    for gain in (0, -1.0, float("inf")):
        with pytest.raises(UnknownOption, match="gain"):
            INITIALISERS.build("eoi", gain=gain)


def test_the_gain_multiplies_and_the_model_s_own_weights_stay() -> None:
    model, copy = deep(1), deep(1)
    copy.load_state_dict(model.state_dict())
    sparsify(model, density=0.5)
    sparsity = sparsify(copy, density=0.5, initialiser="model")
    assert torch.equal(model[0].weight, copy[0].weight) and sparsity.masks.seed == 17
    doubled = sparsify(deep(1), density=0.5, initialiser=dataclasses.replace(EOI, gain=2.0))
    assert measure_error(doubled.dense_weights()["0.weight"].double() / 2) < 1e-6


@pytest.mark.parametrize("name", INITIALISERS.names())
def test_every_initialiser_keeps_counts_and_is_a_frozen_documented_value(name: str) -> None:
    rule = INITIALISERS.build(name)
    assert rule == INITIALISERS.build(name) and "References:" in (type(rule).__doc__ or "")
    sparsity = sparsify(deep(2), density=0.3, initialiser=rule)
    assert sparsity.kept == round(0.3 * sparsity.total)
    assert all(not weight[~sparsity.masks[name]].any() for name, weight in sparsity.dense_weights().items())
