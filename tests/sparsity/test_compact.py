"""Layers that store kept values only, with a layer of torch's own operations: patterns, gradients and state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy.sparsity import Sparsity, ValueStorageLayer, keep_pattern_in_state, sparsify
from rarefy.topology import TOPOLOGIES


class Pattern:
    def __init__(self, mask: Tensor) -> None:
        self.replace_(mask)

    def replace_(self, mask: Tensor) -> None:
        self.shape, self.indices = tuple(mask.shape), mask.flatten().nonzero().flatten().int()

    def mask(self) -> Tensor:
        return (
            torch.zeros(self.shape, dtype=torch.bool)
            .flatten()
            .index_fill(0, self.indices.long(), True)
            .view(self.shape)
        )


class Kept(nn.Module):
    """What an engine's layer is to the masks, without any kernel."""

    def __init__(self, dense: nn.Linear, mask: Tensor) -> None:
        super().__init__()
        self.pattern = Pattern(mask)
        self.values, self.bias = nn.Parameter(dense.weight.detach()[mask]), dense.bias
        self.dense_gradient, self.dense_grad = False, None

    def forward(self, inputs: Tensor) -> Tensor:
        weight = torch.zeros(self.pattern.shape).flatten().index_put((self.pattern.indices.long(),), self.values)
        if self.dense_gradient:
            weight.register_hook(self._note)
        return nn.functional.linear(inputs, weight.view(self.pattern.shape), self.bias)

    def _note(self, gradient: Tensor) -> None:
        gradient = gradient.detach().view(self.pattern.shape).clone()
        self.dense_grad = gradient if self.dense_grad is None else self.dense_grad + gradient


ValueStorageLayer.register(Kept)


def setting(
    topology: Any = "static", *, compact: bool = True, both: bool = False, **options: Any
) -> tuple[nn.Module, Sparsity]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 5))
    built = TOPOLOGIES.build(topology, **options)
    sparsity = sparsify(model, density=0.3, allocation="uniform", topology=built)
    for place in (0, 2) if both else (0,):  # else the other layer stays dense: both kinds at once
        if compact:
            model[place] = Kept(model[place], sparsity.masks[f"{place}.weight"])
            keep_pattern_in_state(model[place])
            sparsity.masked_model.rebind_modules({f"{place}.weight": model[place]})
    return model, sparsity


def backward(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    model(torch.randn(6, 12, generator=generator)).square().sum().backward()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for seed in steps:
        optimizer.zero_grad()
        backward(model, seed)
        optimizer.step()


def pair(topology: str, optimizer: Any = torch.optim.AdamW, **options: Any) -> tuple[Any, Any]:
    """(model, sparsity, optimizer), compact and, as the oracle, dense with zeros."""
    both = []
    for compact in (True, False):
        model, sparsity = setting(topology, compact=compact, **options)
        made = optimizer(model.parameters(), lr=0.01)
        sparsity.attach(made, steps=60)
        both.append((model, sparsity, made))
    return both[0], both[1]


def assert_same(ours: Any, oracle: Any) -> None:
    assert ours[1].masks == oracle[1].masks
    for name, weight in oracle[1].weights().items():
        assert torch.equal(ours[1].dense_weights()[name], weight), name


MOVING = [name for name in TOPOLOGIES.names() if name not in ("static", "top_kast")]


@pytest.mark.parametrize("topology", MOVING)
def test_every_moving_topology_gives_the_bits_of_the_dense_layer(
    topology: str, select_options: Callable[..., dict[str, Any]]
) -> None:
    ours, oracle = pair(topology, **select_options(topology, interval=3))
    for model, _, optimizer in (ours, oracle):
        train(model, optimizer, range(60))
    assert_same(ours, oracle)
    assert ours[1].masks["0.weight"].ne(setting(topology)[1].masks["0.weight"]).any(), "nothing moved"


def test_a_grown_weight_starts_at_zero_with_clean_state_and_the_others_keep_theirs() -> None:
    model, sparsity = setting("set", interval=5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
    sparsity.attach(optimizer, steps=100)
    train(model, optimizer, range(4))
    before = sparsity.masks["0.weight"].clone()
    train(model, optimizer, range(4, 5))
    layer, now = model[0], sparsity.masks["0.weight"]
    grown = (now & ~before)[now]
    assert grown.any()
    state = optimizer.state[layer.values]
    for value in (layer.values.detach(), state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"]):
        assert value.shape == (int(now.sum()),)
        assert not value[grown].any()
        assert value[~grown].any()


def test_counts_may_change_while_an_old_loss_is_alive() -> None:
    ours, oracle = pair("gmp", interval=2)
    losses = []
    for seed in range(30):
        for model, _, optimizer in (ours, oracle):
            optimizer.zero_grad()
            loss = model(torch.randn(6, 12, generator=torch.Generator().manual_seed(seed))).square().sum()
            losses.append(loss)  # and with it the graph
            loss.backward()
            optimizer.step()
    assert_same(ours, oracle)
    assert ours[0][0].values.numel() < 120


@pytest.mark.parametrize("clip", [False, True])
def test_growth_sees_the_sum_of_micro_batches_however_gradients_are_zeroed(clip: bool) -> None:
    ours, oracle = pair("rigl", torch.optim.SGD, interval=1)
    for step in range(12):
        for model, sparsity, optimizer in (ours, oracle):
            for micro in range(3):
                backward(model, 3 * step + micro)
            if clip:
                sparsity.mask_gradients_()
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad(set_to_none=step % 2 == 0)
    assert_same(ours, oracle)


@pytest.mark.parametrize("both", [False, True])
def test_gradients_of_a_step_that_was_never_made_are_forgotten(both: bool) -> None:
    ours, oracle = pair("rigl", torch.optim.SGD, interval=1, both=both)
    for step in range(6):
        for model, sparsity, optimizer in (ours, oracle):
            optimizer.zero_grad()
            backward(model, step)
            sparsity.mask_gradients_()
            if step != 2:  # as a GradScaler does
                optimizer.step()
    assert_same(ours, oracle)
    assert ours[1].state_dict()["attachments"][0]["step"] == 5


def test_a_loss_scale_is_taken_off_dense_gradients_too() -> None:
    ours, oracle = pair("snfs", torch.optim.SGD, interval=2)
    for step in range(8):
        for model, _, optimizer in (ours, oracle):
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
            optimizer.zero_grad()
            scaler.scale(
                model(torch.randn(6, 12, generator=torch.Generator().manual_seed(step))).square().sum()
            ).backward()
            scaler.step(optimizer)
    assert ours[1].masks == oracle[1].masks
    momentum, wanted = (each[1].state_dict()["attachments"][0]["momentum"]["0.weight"] for each in (ours, oracle))
    torch.testing.assert_close(momentum, wanted)


def test_dense_gradients_are_computed_in_the_steps_that_look_at_them_and_in_no_other() -> None:
    model, sparsity = setting("rigl", interval=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100)
    asked = []
    for seed in range(12):
        asked.append(model[0].dense_gradient)
        train(model, optimizer, range(seed, seed + 1))
    assert asked == 3 * [False, False, False, True]
    sparsity.detach()
    assert not model[0].dense_gradient


def test_diagnostics_agree() -> None:
    found = []
    for compact in (True, False):
        model, sparsity = setting("rigl", compact=compact, interval=3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        sparsity.attach(optimizer, steps=60, diagnostics=True)
        train(model, optimizer, range(20))
        found.append(sparsity.diagnose())
    assert found[0] == pytest.approx(found[1])
    assert found[0]["gradient_norm_pruned"] > 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["model first", "masks first"])
@pytest.mark.parametrize("topology", ["rigl", "gmp", "snfs"])
def test_a_state_is_loaded_in_any_order_and_goes_on_bit_for_bit(topology: str, order: tuple[int, ...]) -> None:
    def fresh() -> tuple[nn.Module, torch.optim.Optimizer, Sparsity]:
        model, sparsity = setting(topology, interval=2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        sparsity.attach(optimizer, steps=40)
        return model, optimizer, sparsity

    first = fresh()
    train(first[0], first[1], range(11))
    saved = copy.deepcopy([part.state_dict() for part in first])
    again = fresh()
    for place in order:
        again[place].load_state_dict(saved[place])
    for model, optimizer, _ in (first, again):
        train(model, optimizer, range(11, 30))
    assert torch.equal(first[0][0].values, again[0][0].values)
    assert torch.equal(
        first[1].state[first[0][0].values]["momentum_buffer"], again[1].state[again[0][0].values]["momentum_buffer"]
    )
    assert first[2].masks == again[2].masks


def test_a_dense_state_is_understood() -> None:
    dense, _ = setting(compact=False)
    model, sparsity = setting()
    state = {name: value + 1 for name, value in dense.state_dict().items()}
    model.load_state_dict(state)
    assert torch.equal(model[0].values, state["0.weight"][sparsity.masks["0.weight"]])


def test_an_optimizer_from_before_the_exchange_is_refused() -> None:
    model, sparsity = setting(compact=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    layer = Kept(model[0], sparsity.masks["0.weight"])
    model[0] = layer
    sparsity.masked_model.rebind_modules({"0.weight": layer})
    with pytest.raises(ValueError, match=r"made before the engine was installed.*Make it again"):
        sparsity.attach(optimizer)
    sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def test_an_exchange_under_an_attached_optimizer_is_refused() -> None:
    model, sparsity = setting(compact=False)
    sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="Install the engine first"):
        sparsity.masked_model.rebind_modules({"0.weight": Kept(model[0], sparsity.masks["0.weight"])})


def test_lbfgs_may_not_move() -> None:
    model, sparsity = setting("set")
    with pytest.raises(ValueError, match="LBFGS"):
        sparsity.attach(torch.optim.LBFGS(model.parameters()), steps=1000)
    model, sparsity = setting()
    sparsity.attach(torch.optim.LBFGS(model.parameters()))


def test_copies_are_independent_and_averages_are_masked() -> None:
    model, sparsity = setting("set", interval=1)
    average = torch.optim.swa_utils.AveragedModel(model)
    sparsity.mask_weights_(average)
    twin, copied = copy.deepcopy((model, sparsity))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    copied.attach(optimizer, steps=100)
    train(twin, optimizer, range(3))
    assert sparsity.masks != copied.masks
    assert torch.equal(model[0].pattern.mask(), sparsity.masks["0.weight"])
    assert torch.equal(twin[0].pattern.mask(), copied.masks["0.weight"])
    with pytest.raises(ValueError, match="The masks have moved"):
        copied.mask_weights_(average)


def test_masks_that_were_replaced_by_hand_are_followed() -> None:
    _, sparsity = setting()
    mask = sparsity.masks["0.weight"].roll(1, 0)
    values = sparsity.dense_weights()["0.weight"]
    sparsity.masks.replace("0.weight", mask)
    sparsity.mask_weights_()
    assert torch.equal(sparsity.dense_weights()["0.weight"], values.masked_fill(~mask, 0))


def test_what_others_hang_on_a_parameter_stays_while_its_length_does() -> None:
    """DistributedDataParallel hooks into what adds up gradients, once, when it is made."""
    model, sparsity = setting("set", interval=1)
    values, calls = model[0].values, []
    accumulator = values.expand_as(values).grad_fn.next_functions[0][0]
    accumulator.register_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100)
    train(model, optimizer, range(4))
    assert len(calls) == 4


@pytest.mark.parametrize("topology", ["static", "set", "rigl", "gmp", "snfs"])
def test_in_several_processes_masks_may_not_need_what_only_one_of_them_knows(
    topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    model, sparsity = setting(topology)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    if topology in ("static", "set"):
        sparsity.attach(optimizer, steps=1000)
    else:
        with pytest.raises(ValueError, match=r"every process has but its own.*engine 'masked'"):
            sparsity.attach(optimizer, steps=1000)
