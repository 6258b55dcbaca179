"""Optimizers that wrap others, and those that make several passes: masks hold in every pass, states are clean."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rarefy.distributed import World
from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES


class SAM(Optimizer):
    """Sharpness-aware minimisation in its two-step form, written from the paper (arXiv 2010.01412)."""

    def __init__(self, params: Any, base: type[Optimizer], rho: float = 0.5, **options: Any) -> None:
        super().__init__(params, {"rho": rho, **options})
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        weights = [w for group in self.param_groups for w in group["params"] if w.grad is not None]
        norm = torch.stack([w.grad.norm() for w in weights]).norm()
        for weight in weights:
            self.state[weight]["old"] = weight.detach().clone()
            weight.add_(weight.grad * (self.defaults["rho"] / norm))

    @torch.no_grad()
    def second_step(self) -> None:
        for weight, state in self.state.items():
            weight.copy_(state["old"])
        self.base_optimizer.step()

    def step(self, closure: Any = None) -> None:
        self.first_step()
        self.zero_grad()
        with torch.enable_grad():
            closure()
        self.second_step()


class Prepared(Optimizer):
    """What accelerator.prepare gives: an Optimizer that has never called the constructor of Optimizer."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.optimizer.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)


class Trainer:
    """No optimizer at all."""

    param_groups: list[Any]

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = list(optimizers)
        self.param_groups = [group for optimizer in optimizers for group in optimizer.param_groups]


def setting(topology: str = "static") -> tuple[nn.Sequential, Sparsity, list[int]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    options = {} if topology == "static" else {"interval": 2}
    sparsity = sparsify(model, density=0.25, topology=TOPOLOGIES.build(topology, **options))
    dense: list[int] = []  # pruned weights that are not 0, by forward pass
    count = lambda *_: dense.append(  # noqa: E731
        sum(int(w[~sparsity.masks[name]].count_nonzero()) for name, w in sparsity.weights().items())
    )
    model.register_forward_pre_hook(count)
    return model, sparsity, dense


def loss_of(model: nn.Module, step: int = 0) -> Tensor:
    return model(torch.randn(6, 8, generator=torch.Generator().manual_seed(step))).square().mean()


def two_steps(model: nn.Module, sam: SAM, step: int) -> None:
    loss_of(model, step).backward()
    sam.first_step()
    sam.zero_grad()
    loss_of(model, step).backward()
    sam.second_step()
    sam.zero_grad()


def in_a_closure(model: nn.Module, sam: SAM, step: int) -> None:
    loss_of(model, step).backward()
    sam.step(lambda: loss_of(model, step).backward())
    sam.zero_grad()


@pytest.mark.parametrize("act", [two_steps, in_a_closure])
@pytest.mark.parametrize("topology", ["static", "set", "rigl"])
@pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.AdamW])
def test_sam_perturbs_kept_weights_alone(act: Any, topology: str, base: type[Optimizer]) -> None:
    model, sparsity, dense = setting(topology)
    before = {name: mask.clone() for name, mask in sparsity.masks.items()}
    sam = SAM(model.parameters(), base, lr=0.01)
    sparsity.attach(sam, steps=100)
    for step in range(6):
        act(model, sam, step)
    assert dense == [0] * 12
    assert sparsity.state_dict()["attachments"][0]["step"] == 6
    moved = any(not torch.equal(mask, before[name]) for name, mask in sparsity.masks.items())
    assert moved == (topology != "static")


def test_rigl_under_sam_grows_by_the_dense_gradient_of_the_second_pass() -> None:
    model, sparsity, _ = setting("rigl")
    sam = SAM(model.parameters(), torch.optim.SGD, lr=1e-6)
    sparsity.attach(sam, steps=1000)
    two_steps(model, sam, 0)
    before = sparsity.masks["0.weight"].clone()
    loss_of(model, 1).backward()
    sam.first_step()
    twin = copy.deepcopy(model)
    gradients = torch.autograd.grad(loss_of(twin, 1), twin[0].weight)[0]
    sam.zero_grad()
    loss_of(model, 1).backward()
    sam.second_step()
    grown = sparsity.masks["0.weight"] & ~before
    best = gradients.abs().masked_fill(before, -1).flatten().topk(int(grown.sum())).indices
    assert grown.any()
    assert set(best.tolist()) == set(grown.flatten().nonzero().flatten().tolist())


def test_the_optimizer_inside_of_sam_is_found_out_at_its_first_step(caplog: pytest.LogCaptureFixture) -> None:
    model, sparsity, dense = setting()
    sam = SAM(model.parameters(), torch.optim.SGD, lr=0.01)
    sparsity.attach(sam.base_optimizer)
    with caplog.at_level(logging.WARNING, "rarefy"):
        for step in range(5):
            two_steps(model, sam, step)
    assert dense[1] > 0
    assert dense[2:] == [0] * 8
    assert len(caplog.records) == 1


def test_other_optimizers_keep_no_hook_of_a_weight() -> None:
    model, sparsity, _ = setting()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    sparsity.attach(optimizer)
    for step in range(2):
        loss_of(model, step).backward()
        optimizer.step()
    assert not any(weight._backward_hooks for weight in model.parameters())


def test_what_accelerate_prepares_is_attached_by_what_it_wraps() -> None:
    model, sparsity, _ = setting("set")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    prepared = Prepared(optimizer)
    sparsity.attach(prepared, steps=100)
    with pytest.raises(ValueError, match="attached already"):
        sparsity.attach(optimizer)
    for step in range(3):
        prepared.zero_grad()
        loss_of(model, step).backward()
        prepared.step()
    assert sparsity.updates == 1
    assert not any(w[~sparsity.masks[name]].any() for name, w in sparsity.weights().items())


def test_of_unknown_wrappers_it_says_what_to_attach() -> None:
    model, sparsity, _ = setting()
    first, second = (torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (model[0], model[2]))
    with pytest.raises(ValueError, match=r"optimizers\[0\].*optimizers\[1\]"):
        sparsity.attach(Trainer(first, second))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"torch\.optim\.Optimizer"):
        sparsity.attach(Trainer())  # type: ignore[arg-type]


def test_lookahead_leaves_no_weights_behind() -> None:
    lookahead = pytest.importorskip("timm.optim").Lookahead
    model, sparsity, dense = setting("set")
    optimizer = lookahead(torch.optim.AdamW(model.parameters(), lr=0.01), k=3)
    sparsity.attach(optimizer, steps=100)
    for step in range(12):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()
    assert dense == [0] * 12
    assert sparsity.updates == 6


def test_gradients_without_steps_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    model, sparsity, _ = setting()
    sparsity.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    other = torch.optim.SGD(model.parameters(), lr=0.1)
    with caplog.at_level(logging.WARNING, "rarefy"):
        for step in range(100):
            loss_of(model, step).backward()
            other.step()
    assert len(caplog.records) == 1


def test_where_states_are_shared_out_grown_weights_are_clean_and_masks_alike(on_ranks: Any) -> None:
    pytest.importorskip("torch.distributed.optim")

    def act(world: World) -> Any:
        from torch.distributed.optim import ZeroRedundancyOptimizer
        from torch.nn.parallel import DistributedDataParallel

        model, sparsity, dense = setting("rigl")
        parallel = DistributedDataParallel(model)
        optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
        sparsity.attach(optimizer, steps=100)
        clean = True
        for step in range(8):
            before = {name: mask.clone() for name, mask in sparsity.masks.items()}
            optimizer.zero_grad()
            loss_of(parallel, step).backward()
            optimizer.step()
            for name, weight in sparsity.weights().items():
                grown = sparsity.masks[name] & ~before[name]
                state = optimizer.optim.state.get(weight, {})
                clean &= not any(v[grown].any() for v in state.values() if v.shape == weight.shape)
        weights = {name: weight.detach().clone() for name, weight in sparsity.weights().items()}
        return clean, dense, sparsity.masks.checksum(), weights

    (clean, dense, masks, weights), other = on_ranks(2, act)
    assert clean is other[0] is True
    assert dense == other[1] == [0] * 8
    assert masks == other[2]
    assert all(torch.equal(weight, other[3][name]) for name, weight in weights.items())
    model, sparsity, _ = setting("rigl")  # alone, it is the same
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    sparsity.attach(optimizer, steps=100)
    for step in range(8):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()
    for name, weight in sparsity.weights().items():
        torch.testing.assert_close(weight.detach(), weights[name], rtol=1e-4, atol=1e-6)


@pytest.mark.kernels
@pytest.mark.parametrize("kind", [torch.optim.Adafactor, torch.optim.Muon])
def test_optimizers_of_matrices_stay_on_dense_layers(kind: type[Optimizer]) -> None:
    import rarefy

    model = nn.Sequential(nn.Linear(20, 16, bias=False), nn.Linear(16, 4, bias=False))
    sparsity = sparsify(model, density=0.25)
    rarefy.use_engine(model, sparsity, "cpu", inputs=torch.randn(2, 20))
    if kind is torch.optim.Adafactor:
        with pytest.raises(ValueError, match="masked"):
            sparsity.attach(kind(model.parameters(), lr=0.01))
    for fine in (torch.optim.SGD, torch.optim.AdamW, torch.optim.Rprop, torch.optim.Adagrad):
        sparsity.attach(fine(model.parameters(), lr=0.01))
        sparsity.detach()
    rarefy.use_dense(model, sparsity)
    sparsity.attach(kind(model.parameters(), lr=0.01))
