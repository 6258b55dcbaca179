"""attach: hooks and nothing else, clear errors, clean state, and states that can be saved."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES


def setting(topology: Any = "static", density: float = 0.25, **options: Any) -> tuple[nn.Linear, Sparsity]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Linear(20, 10)
    built = TOPOLOGIES.build(topology, **options) if options else topology
    return model, sparsify(model, density=density, topology=built)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    inputs = torch.randn(6, 20, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(inputs).square().sum().backward()
    optimizer.step()


def test_nothing_is_replaced_renamed_or_wrapped() -> None:
    model, _ = reference, sparsity = setting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method, names, kinds = optimizer.step.__func__, list(model.state_dict()), [type(p) for p in model.parameters()]
    sparsity.attach(optimizer)
    step(model, optimizer)
    assert optimizer.step.__func__ is method
    assert list(reference.state_dict()) == names
    assert [type(p) for p in model.parameters()] == kinds


def test_an_optimizer_of_another_model_is_refused() -> None:
    _, sparsity = setting()
    with pytest.raises(ValueError, match="holds none of the masked weights"):
        sparsity.attach(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))


def test_attaching_twice_is_refused() -> None:
    model, sparsity = setting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    with pytest.raises(ValueError, match="attached already"):
        sparsity.attach(optimizer)


def test_detach_gives_the_weights_free() -> None:
    model, sparsity = setting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer)
    sparsity.detach()
    step(model, optimizer)
    assert int(model.weight.count_nonzero()) == 200


def test_a_topology_that_needs_the_number_of_steps_says_so_at_once() -> None:
    model, sparsity = setting("rigl")
    with pytest.raises(ValueError, match="steps="):
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_topology_that_starts_denser_must_be_named_earlier() -> None:
    model, sparsity = setting()
    with pytest.raises(ValueError, match="Name it where the masks are drawn"):
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1), topology="gmp", steps=1000)
    with pytest.raises(ValueError, match="Name it where the masks are drawn"):
        sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1), topology="top_kast")


def test_a_topology_that_will_never_move_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    for steps, warned in ((99, True), (1000, False)):
        model, sparsity = setting("set", interval=100)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "rarefy"):
            sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1), steps=steps)
        assert ("never move" in caplog.text) == warned


def test_growth_needs_a_gradient_and_says_which_is_missing() -> None:
    model, sparsity = setting("rigl", interval=1)
    model.weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsity.attach(optimizer, steps=100)
    with pytest.raises(ValueError, match="needs the gradient of 'weight'"):
        step(model, optimizer)


def test_growth_sees_the_dense_accumulated_gradient_also_after_clipping() -> None:
    """RigL's grown weights are those with the largest sum of micro-batch gradients, found by hand."""
    for clip in (False, True):
        model, sparsity = setting("rigl", interval=1, fraction=0.2)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        sparsity.attach(optimizer, steps=1000)
        before = sparsity.masks["weight"].clone()
        for micro in range(3):
            model(torch.randn(6, 20, generator=torch.Generator().manual_seed(micro))).square().sum().backward()
        gradient = model.weight.grad.clone()
        if clip:
            sparsity.mask_gradients_()
            assert not model.weight.grad[~before].any()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        grown = sparsity.masks["weight"] & ~before
        candidates = gradient.abs().masked_fill(before, -1).flatten()
        assert int(grown.sum()) == 9  # floor(0.2 * cosine factor * 50)
        assert set(candidates.topk(9).indices.tolist()) == set(grown.flatten().nonzero().flatten().tolist())


def test_a_grown_weight_starts_at_zero_with_a_clean_state() -> None:
    model, sparsity = setting("set", interval=2, fraction=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
    sparsity.attach(optimizer, steps=100)
    step(model, optimizer, 0)
    before = sparsity.masks["weight"].clone()
    step(model, optimizer, 1)
    grown = sparsity.masks["weight"] & ~before
    assert grown.any()
    assert not model.weight[grown].any()
    state = optimizer.state[model.weight]
    for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        assert not state[name][grown].any(), name
        assert state[name][before & sparsity.masks["weight"]].any(), name


def test_gmp_reaches_its_final_counts() -> None:
    model, sparsity = setting("gmp", density=0.1, interval=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    sparsity.attach(optimizer, steps=40)
    kept = []
    for number in range(40):
        step(model, optimizer, number)
        kept.append(sparsity.kept)
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 200
    assert kept[-1] == 20
    assert int(model.weight.count_nonzero()) == 20


def test_top_kast_trains_its_reserve_but_never_shows_it() -> None:
    model, sparsity = setting("top_kast", density=0.2, backward=0.3, interval=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    sparsity.attach(optimizer)
    first = sparsity.masks["weight"].clone()
    reserve = copy.deepcopy(sparsity.state_dict()["reserve"])
    for number in range(12):
        step(model, optimizer, number)
        assert not model.weight[~sparsity.masks["weight"]].any()
        assert sparsity.kept == 40
    now = sparsity.state_dict()["reserve"]
    trained = now["trained"]["weight"] & ~sparsity.masks["weight"]
    assert int(trained.sum()) == 60
    assert not torch.equal(now["values"]["weight"][trained], reserve["values"]["weight"][trained])
    assert not torch.equal(first, sparsity.masks["weight"])


def test_a_weight_that_is_dropped_and_grown_at_once_keeps_its_value_and_its_momentum() -> None:
    """RigL as published: by hand, on the weight with the smallest size and by far the largest gradient."""
    model, sparsity = setting("rigl", interval=2, fraction=0.1, regrow=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    sparsity.attach(optimizer, steps=1000)
    place = tuple(sparsity.masks["weight"].nonzero()[0])
    with torch.no_grad():
        model.weight[place] = 1e-3
    for size in (1.0, 2.0):
        model.weight.grad = torch.full_like(model.weight, 1e-6)
        model.weight.grad[place] = size
        optimizer.step()
    assert sparsity.updates == 1 and sparsity.masks["weight"][place]
    assert model.weight[place].item() == pytest.approx(1e-3 - 1e-3 * 1.0 - 1e-3 * (0.9 + 2.0))
    assert optimizer.state[model.weight]["momentum_buffer"][place].item() == pytest.approx(2.9)


@pytest.mark.parametrize("kind", ["last", "inner", "excluded head"])
def test_srigl_never_ablates_the_answers_of_a_model(kind: str) -> None:
    """A neuron with tiny weights and gradients goes, unless it is one of the model's last layer."""
    layers = [nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)]
    model = nn.Sequential(*layers, *([nn.Linear(4, 3)] if kind != "last" else []))
    exclude = ["3"] if kind == "excluded head" else []
    srigl = TOPOLOGIES.build("srigl", interval=1, fraction=0.5, schedule="constant")
    sparsity = sparsify(model, density=0.5, allocation="uniform", topology=srigl, exclude=exclude)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    sparsity.attach(optimizer, steps=1000)
    with torch.no_grad():
        model[2].weight[1] *= 1e-6
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 0.1)
    model[2].weight.grad[:, :2] = 1  # the six largest: two in every other neuron
    model[2].weight.grad[1] = 0
    optimizer.step()
    assert sparsity.masks["2.weight"].any(1).tolist() == [True, kind == "last", True, True]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True, foreach=True),
        lambda weights: torch.optim.Adam(weights, lr=0.1, weight_decay=0.1, amsgrad=True),
        lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.1),
        lambda weights: torch.optim.RMSprop(weights, lr=0.1, weight_decay=0.1, momentum=0.9),
    ],
    ids=["sgd", "nesterov", "adam", "adamw", "rmsprop"],
)
def test_top_kast_moves_nothing_outside_the_trained_set(optimizer: Any) -> None:
    """Neither decay nor momentum, nor the optimizer's state: the values are bit for bit those of before the step."""
    model, sparsity = setting("top_kast", density=0.2, backward=0.3, interval=3)
    watched = optimizer(model.parameters())
    sparsity.attach(watched)
    step(model, watched)
    left = 0
    for number in range(1, 13):
        before = copy.deepcopy(sparsity.state_dict()["reserve"])
        step(model, watched, number)
        still = ~before["trained"]["weight"]
        now = sparsity.state_dict()["reserve"]["values"]["weight"] + model.weight.detach()
        assert torch.equal(now[still], before["values"]["weight"][still])
        outside = ~sparsity.state_dict()["reserve"]["trained"]["weight"]
        left += int((outside & ~still).sum())
        assert not any(
            value[outside].any()
            for value in watched.state[model.weight].values()
            if isinstance(value, Tensor) and value.shape == model.weight.shape
        )
    assert left, "no weight left the trained set, so nothing was shown about those that do"


def test_top_kast_keeps_the_last_step_of_a_weight_that_leaves_the_trained_set() -> None:
    """By hand: 3.0 is used and 2.0 trained; a step makes them 2.2 and 1.0, below 1.5, which never moved."""
    top_kast = TOPOLOGIES.build("top_kast", backward=1 / 3, interval=1)
    model = nn.Linear(3, 1, bias=False)
    used = int(sparsify(copy.deepcopy(model), density=1 / 3, topology=top_kast).masks["weight"].nonzero()[0, 1])
    order = [used, (used + 1) % 3, (used + 2) % 3]
    with torch.no_grad():
        model.weight[0, order] = torch.tensor([3.0, 2.0, 1.5])
    sparsity = sparsify(model, density=1 / 3, topology=top_kast)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.1)
    sparsity.attach(optimizer)
    model.weight.grad = torch.zeros(1, 3)
    model.weight.grad[0, order] = torch.tensor([0.5, 0.8, 9.0])
    optimizer.step()
    assert model.weight[0, order].tolist() == [pytest.approx(2.2), 0, 0]
    assert sparsity.state_dict()["reserve"]["trained"]["weight"][0, order].tolist() == [True, False, True]
    assert sparsity.state_dict()["reserve"]["values"]["weight"][0, order].tolist() == [0, pytest.approx(1.0), 1.5]


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES.names() if name != "static"])
def test_state_dict_round_trip_continues_bit_for_bit(name: str, select_options: Callable[..., dict[str, Any]]) -> None:
    options = select_options(name, interval=2, backward=0.2)

    def fresh() -> tuple[nn.Linear, Sparsity, torch.optim.Optimizer]:
        model, sparsity = setting(name, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        sparsity.attach(optimizer, steps=40)
        return model, sparsity, optimizer

    model, sparsity, optimizer = fresh()
    for number in range(7):
        step(model, optimizer, number)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), sparsity.state_dict()))
    again, again_sparsity, again_optimizer = fresh()
    again.load_state_dict(saved[0])
    again_optimizer.load_state_dict(saved[1])
    again_sparsity.load_state_dict(saved[2])
    for number in range(7, 20):
        step(model, optimizer, number)
        step(again, again_optimizer, number)
    assert torch.equal(model.weight, again.weight)
    assert sparsity.masks == again_sparsity.masks


def test_a_state_of_other_layers_is_refused() -> None:
    _, sparsity = setting()
    other = sparsify(nn.Linear(20, 11), density=0.5)
    with pytest.raises(ValueError, match="other layers"):
        sparsity.load_state_dict(other.state_dict())


def test_a_state_of_more_optimizers_is_refused() -> None:
    model, sparsity = setting()
    sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    _, bare = setting()
    with pytest.raises(ValueError, match="Attach the same ones first"):
        bare.load_state_dict(sparsity.state_dict())


def test_an_average_of_a_moving_model_can_be_masked_too() -> None:
    model, sparsity = setting("set", interval=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    for number in range(5):
        step(model, optimizer, number)
        average.update_parameters(model)
    assert average.module.weight[~sparsity.masks["weight"]].any()  # what the mask has left behind
    sparsity.mask_weights_(average)
    assert not average.module.weight[~sparsity.masks["weight"]].any()


def test_weights_are_found_again_after_parameters_were_exchanged() -> None:
    model, sparsity = setting()
    model.weight = nn.Parameter(torch.ones(10, 20))
    sparsity.mask_weights_()
    assert int(model.weight.count_nonzero()) == sparsity.kept


def test_a_weight_with_nan_is_zero_where_pruned() -> None:
    model, sparsity = setting()
    optimizer = torch.optim.SGD(model.parameters(), lr=float("inf"))
    sparsity.attach(optimizer)
    step(model, optimizer)
    pruned: Tensor = model.weight.detach()[~sparsity.masks["weight"]]
    assert torch.equal(pruned, torch.zeros_like(pruned))


def test_gradients_of_a_step_that_was_never_made_are_forgotten() -> None:
    """Clipped, then skipped by a GradScaler: growth must not see what made it skip."""
    model, sparsity = setting("rigl", interval=1)
    optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.01), torch.amp.GradScaler("cpu", init_scale=4.0)
    sparsity.attach(optimizer, steps=100)
    for number in range(6):
        optimizer.zero_grad()
        scaler.scale(
            model(torch.randn(6, 20, generator=torch.Generator().manual_seed(number))).square().sum()
        ).backward()
        if number == 2:
            model.weight.grad.fill_(float("inf"))
        scaler.unscale_(optimizer)
        sparsity.mask_gradients_()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    assert sparsity.state_dict()["attachments"][0]["step"] == 5


def test_a_step_that_a_fused_optimizer_skips_inside_is_not_counted() -> None:
    model, sparsity = setting("rigl", interval=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    sparsity.attach(optimizer, steps=100)
    for number in range(6):
        optimizer.zero_grad()
        scaler.scale(
            model(torch.randn(6, 20, generator=torch.Generator().manual_seed(number))).square().sum()
        ).backward()
        if number == 2:
            model.weight.grad.fill_(float("inf"))
        before = sparsity.masks["weight"].clone()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(before, sparsity.masks["weight"]) == (number == 2)
    assert sparsity.state_dict()["attachments"][0]["step"] == 5


def test_a_copy_can_be_attached_and_its_masks_move() -> None:
    model, sparsity = setting("set", interval=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100)
    step(model, optimizer)
    twin, copied = copy.deepcopy((model, sparsity))
    explored = copied.explored()["weight"]
    assert torch.equal(explored, sparsity.explored()["weight"])
    again = torch.optim.SGD(twin.parameters(), lr=0.01)
    copied.attach(again, steps=100)
    before = copied.masks["weight"].clone()
    step(twin, again, 1)
    assert not torch.equal(before, copied.masks["weight"])
    assert bool((copied.explored()["weight"] | ~explored).all())
    assert torch.equal(before, sparsity.masks["weight"])  # the original is left alone


def test_detaching_forgets_nothing_that_was_explored() -> None:
    model, sparsity = setting("set", interval=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100)
    for number in range(4):
        step(model, optimizer, number)
    rate = sparsity.diagnose()["exploration_rate"]
    sparsity.detach()
    assert sparsity.diagnose()["exploration_rate"] == rate > sparsity.density
    sparsity.attach(optimizer, steps=100)
    assert sparsity.diagnose()["exploration_rate"] == rate


def test_attached_for_longer_it_goes_on_for_longer() -> None:
    model, sparsity = setting("rigl")
    sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.01), steps=100)
    other, longer = setting("rigl")
    longer.attach(torch.optim.SGD(other.parameters(), lr=0.01), steps=500)
    longer.load_state_dict(sparsity.state_dict())
    assert longer.state_dict()["attachments"][0]["steps"] == 500
